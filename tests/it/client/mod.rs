//! What a client asks for, and what it makes of the answers.

mod requests;
