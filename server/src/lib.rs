//! What every HTTP listener of Tidegate shares.
