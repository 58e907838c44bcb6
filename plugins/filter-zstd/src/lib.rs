//! Windlass filter: Zstandard compression
