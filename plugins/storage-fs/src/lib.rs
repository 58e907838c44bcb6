//! Windlass storage: a folder
