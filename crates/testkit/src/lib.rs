//! What tests share: seeded profile generator, corpus reader, processes under test.
