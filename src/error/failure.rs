//! The error of a callback or handler: [`Failure`].

use std::fmt;

use crate::record::Foreign;

/// The error of a callback or handler, made from any error by `?`.
///
/// It is neither `Display` nor `Error` itself, so that `?` can make it from every type that is. It
/// turns back into a boxed error.
pub struct Failure(String);

/// The result of a callback or handler that uses `?`.
///
/// ```
/// fn set_up(ws: &landline::WebSocket) {
///     ws.on_text(|ws, text| -> landline::Outcome {
///         let number: i64 = text.parse()?;
///         ws.send((number + 1).to_string())?;
///         Ok(())
///     });
/// }
/// ```
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Puts the name of the callback before the text.
    // Not inlined: a callback that does not fail needs none of its stack.
    #[inline(never)]
    pub(crate) fn of(self, name: &str) -> Self {
        Self(format!("{name}: {}", self.0))
    }
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(format!("{error:#}"))
    }
}

impl From<Failure> for Box<dyn std::error::Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        failure.0.into()
    }
}

impl fmt::Debug for Failure {
    /// Shows what went wrong on one line, with control characters escaped, and cut where it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Foreign(&self.0), f)
    }
}

/// A value that a callback may return: nothing, a `Result<(), E>` with any error that can be shown,
/// or never. Sealed.
pub trait IntoOutcome: sealed::Sealed {
    /// Turns the returned value into an [`Outcome`].
    ///
    /// # Errors
    /// The callback's own.
    #[doc(hidden)]
    fn into_outcome(self) -> Outcome;
}

mod sealed {
    pub trait Sealed {}

    /// Names `!` on stable Rust: the type that `fn() -> !` returns.
    pub trait Returns {
        type Type;
    }

    impl<R> Returns for fn() -> R {
        type Type = R;
    }

    pub(super) type Never = <fn() -> ! as Returns>::Type;
}

impl sealed::Sealed for () {}
impl<E: Into<Failure>> sealed::Sealed for Result<(), E> {}
impl sealed::Sealed for sealed::Never {}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl<E: Into<Failure>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        self.map_err(Into::into)
    }
}

impl IntoOutcome for sealed::Never {
    fn into_outcome(self) -> Outcome {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A failure keeps the whole chain that `{:#}` shows and turns back into a boxed error.
    #[test]
    fn failure_turns_back_into_a_boxed_error() {
        fn outer() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let inner: Outcome = Err(Failure::from("no such room"));
            Ok(inner?)
        }
        assert_eq!(outer().unwrap_err().to_string(), "no such room");
    }
}
