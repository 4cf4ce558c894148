//! What is said becomes what each part is told, in that one's words. The broker's is said by whoever runs one, for it is not known
//! here.

mod auth;
mod net;
