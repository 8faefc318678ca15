//! pprof bytes to profiles and back. Pure functions over hostile input.
