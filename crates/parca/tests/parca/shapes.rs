//! The same columns in other types and other orders.
