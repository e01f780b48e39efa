//! Databases as their callers use them, and as they are attacked.

mod suite {
    mod attacks;
    mod place;
    mod requests;
    mod resources;
}
