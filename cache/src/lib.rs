//! The cache of the newest windows.
