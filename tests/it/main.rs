//! Whole programs: the shell, and what it does on hosts. One binary, so that it is linked once.
//! `prompt`, `shell`, `transcripts`, `tutorial` and `book` need this machine only; the others have the lab (`tests/lab/lab`) make hosts
//! with sshd in namespaces and type at them what an operator types.

mod apply;
mod backup;
mod bad_input;
mod bench;
mod book;
mod clients;
mod console;
mod cuts;
mod data;
mod dependencies;
mod enrolment;
mod export;
mod faults;
mod grow;
mod here;
mod jump;
mod launch;
mod logins;
mod masks;
mod operation;
mod package;
mod power;
mod procedures;
mod prompt;
mod put_back;
mod recover;
mod release;
mod reload;
mod replace;
mod ring;
mod shell;
mod shrink;
mod spine;
mod supervision;
mod support;
mod system;
mod tls;
mod transcripts;
mod tutorial;
mod upgrade;
mod words;
