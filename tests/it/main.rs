//! Whole programs: the shell, and what it does on hosts. One binary, so that it is linked once.

mod prompt;
mod shell;
mod support;
mod transcripts;
