//! What the language means, on one span.
