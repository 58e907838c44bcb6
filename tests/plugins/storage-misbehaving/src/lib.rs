//! A storage that fails on request: a fixture
