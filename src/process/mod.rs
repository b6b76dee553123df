//! Processors: guards, edits of the raw bytes, samplers.
