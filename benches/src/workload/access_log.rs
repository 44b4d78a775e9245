//! Happenings as lines of a web server's log, in the Combined Log Format.

use std::io::Write as _;

use super::{Happening, Workload};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Happening {
    /// Appends the line, with its end. A server writes down when a request arrived.
    pub fn access_log_line_into(&self, out: &mut Vec<u8>) {
        let mut random = self.act.details();
        let at = self.arrival.to_rfc3339();
        let month: usize = at[5..7].parse().expect("RFC 3339 has the month there");
        let (section, page) = (random.below(40), random.below(5_000));
        let (address, agent) = (self.act.address(), self.act.agent().0);
        writeln!(
            out,
            "{address} - - [{}/{}/{}:{} +0000] \"GET /section-{section}/item-{page}?ref=home HTTP/1.1\" 200 {} \
             \"https://shop.example.com/section-{section}\" \"{agent}\"",
            &at[8..10],
            MONTHS[month - 1],
            &at[..4],
            &at[11..19],
            random.below(90_000),
        )
        .expect("a vector takes every byte");
    }
}

/// The first `count` lines of a workload.
pub fn access_log(workload: Workload, count: usize) -> Vec<u8> {
    let mut lines = Vec::with_capacity(count * 260);
    workload.take(count).for_each(|happening| happening.access_log_line_into(&mut lines));
    lines
}
