//! A filter that fails on request: a fixture
