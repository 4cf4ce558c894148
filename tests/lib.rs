//! Integration tests: one binary, `tests/it`, that speaks real packets to a real broker over TCP.
//!
//! `ROLLCALL_TEST_COMMAND="mosquitto -p {port}"` runs what is not Rollcall's own against another broker, to check the tests
//! themselves. `ROLLCALL_STORM=20000` makes the storm larger.
//!
//! `tests/crash` is a program that `cargo xtask crash` runs: it kills the broker again and again.
