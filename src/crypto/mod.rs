//! The one door to every cryptographic primitive.
