//! The metrics of the process, as every Prometheus client names them. They are read when somebody scrapes.

use std::fmt;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads the process when it is asked for.
#[derive(Debug)]
pub(super) struct Process {
    /// Seconds since 1970.
    started: f64,
}

/// What the system says about the process; what it does not say is left out.
#[derive(Debug, Default)]
struct Usage {
    cpu: Option<Duration>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_files: Option<u64>,
    open_files_max: Option<u64>,
}

impl Default for Process {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: since.unwrap_or_default().as_secs_f64(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let usage = usage();
        if let Some(cpu) = usage.cpu {
            let seconds = ConstCounter::new(cpu.as_secs_f64());
            let help = "CPU time of the process";
            let kind = seconds.metric_type();
            let unit = Some(&Unit::Seconds);
            seconds.encode(encoder.encode_descriptor("process_cpu", help, unit, kind)?)?;
        }
        let started = ConstGauge::new(self.started);
        let help = "When the process started, in seconds since 1970";
        let kind = started.metric_type();
        let unit = Some(&Unit::Seconds);
        started.encode(encoder.encode_descriptor("process_start_time", help, unit, kind)?)?;
        let bytes = Some(&Unit::Bytes);
        for (name, help, unit, value) in [
            (
                "process_resident_memory",
                "Memory that the process occupies",
                bytes,
                usage.resident_bytes,
            ),
            (
                "process_virtual_memory",
                "Addresses that the process uses",
                bytes,
                usage.virtual_bytes,
            ),
            (
                "process_open_fds",
                "Open files and connections",
                None,
                usage.open_files,
            ),
            (
                "process_max_fds",
                "How many files and connections may be open",
                None,
                usage.open_files_max,
            ),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, unit, kind)?)?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn usage() -> Usage {
    use std::fs;

    use rustix::process::{Resource, getrlimit};
    use rustix::time::{ClockId, clock_gettime};

    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |name: &str| kilobytes(&status, name).map(|kilobytes| kilobytes * 1024);
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let files = fs::read_dir("/proc/self/fd").map(Iterator::count);
    Usage {
        cpu: Duration::try_from(cpu).ok(),
        resident_bytes: bytes("VmRSS:"),
        virtual_bytes: bytes("VmSize:"),
        // One of them is the folder that is read.
        open_files: files.ok().map(|count| count.saturating_sub(1) as u64),
        open_files_max: getrlimit(Resource::Nofile).current,
    }
}

#[cfg(not(target_os = "linux"))]
fn usage() -> Usage {
    Usage::default()
}

/// The number of a line such as `VmRSS:   1234 kB`.
#[cfg(target_os = "linux")]
fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_uses() {
        let usage = usage();
        assert!(usage.cpu.expect("CPU time") > Duration::ZERO);
        let (resident, all) = (usage.resident_bytes, usage.virtual_bytes);
        assert!(resident.expect("memory") > 1 << 20 && all > resident);
        let (open, most) = (usage.open_files, usage.open_files_max);
        assert!(open.expect("files") > 2 && most > open);
    }

    #[test]
    fn memory_is_read_from_its_line() {
        let status = "Name:\tkoncli\nVmSize:\t  2048 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(12));
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }
}
