//! All services in one thread: a seeded simulation with a faulty network and store.
