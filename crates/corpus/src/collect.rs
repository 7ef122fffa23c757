//! Collecting pages from the web, politely, into a standard WARC.
//!
//! [`Web::crawl`] goes from start pages through links inside the hosts it was given, one request at a time, the queue first in first
//! out. It obeys robots.txt (RFC 9309) with its crawl-delay, waits between requests to a host, and bounds depth, pages, bytes, time and
//! retries. The archive is all the state there is: a crawl that was stopped, at any moment, reads its archive, takes every answer in it as
//! given, and asks only for what is missing.

mod fetch;
mod links;
mod robots;
mod store;
mod web;

pub use web::{Web, WebLedger};
