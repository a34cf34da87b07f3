//! What connections and servers count.
