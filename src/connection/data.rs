//! The program's own data of a connection: [`Data`].

use std::any::{Any, TypeId};
use std::mem;
use std::sync::{Arc, OnceLock};

use http::Extensions;

use super::callbacks::catch;
use crate::sync::{Mutex, lock};

/// The values that the program has given a connection, one of each type. Most connections have
/// none, so there is nothing until the first is set.
#[derive(Default)]
pub(crate) struct Data(OnceLock<Box<Mutex<Values>>>);

#[derive(Default)]
struct Values {
    shared: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
    /// The values that came with the request, until they are asked for.
    extensions: Extensions,
}

impl Data {
    /// Takes over the values of the request.
    pub(crate) fn fill(&self, extensions: Extensions) {
        if !extensions.is_empty() {
            lock(self.values()).extensions = extensions;
        }
    }

    /// Sets the value of a type. It replaces the one before.
    pub(crate) fn set<T: Any + Send + Sync>(&self, value: T) {
        let mut values = lock(self.values());
        let of_request = values.extensions.remove::<T>();
        let before = values.put(Arc::new(value));
        drop(values);
        // L1: values are dropped where no lock is held.
        drop((of_request, before));
    }

    /// Returns the value of a type.
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let mut values = lock(self.0.get()?);
        if let Some(value) = values.find() {
            return Some(value);
        }
        let value = Arc::new(values.extensions.remove::<T>()?);
        values.put(Arc::clone(&value));
        Some(value)
    }

    fn values(&self) -> &Mutex<Values> {
        self.0.get_or_init(Box::default)
    }
}

impl Values {
    fn find<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let id = TypeId::of::<T>();
        let (_, value) = self.shared.iter().find(|(found, _)| *found == id)?;
        Arc::clone(value).downcast().ok()
    }

    /// Puts a value in, and returns the one of this type that it replaces.
    fn put<T: Any + Send + Sync>(&mut self, value: Arc<T>) -> Option<Arc<dyn Any + Send + Sync>> {
        let id = TypeId::of::<T>();
        match self.shared.iter_mut().find(|(found, _)| *found == id) {
            Some((_, before)) => Some(mem::replace(before, value)),
            None => {
                self.shared.push((id, value));
                None
            }
        }
    }
}

impl Drop for Data {
    /// Drops the values, whose code may panic on any thread that drops the last handle.
    fn drop(&mut self) {
        let values = self.0.take();
        let _ = catch(|| {
            drop(values);
            Ok(())
        });
    }
}
