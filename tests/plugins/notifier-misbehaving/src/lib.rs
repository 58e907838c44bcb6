//! A notifier that fails on request: a fixture
