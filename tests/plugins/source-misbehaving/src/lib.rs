//! A source that fails on request: a fixture
