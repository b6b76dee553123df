//! The thread that writes.

use super::rotate::{self, Rotated};
use super::{Job, Order};
use crate::config::{self, FileFormat, Rotation};
use crate::forward::counted::Counted;
use crate::forward::json;
use crate::pipeline::Signal;
use crate::time::Clock;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Encoded bytes after which they are written at once.
const BUFFER_MAX: usize = 1 << 20;
/// zstd's own default: half the size of level 1 is not worth twice the time.
const ZSTD_LEVEL: i32 = 3;

/// Items in the buffer by signal, to be counted once the system has them.
type Pending = [(Signal, u64); 3];

/// Encodes, writes, rotates.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "settings, and one state")]
pub(super) struct Writer {
    id: String,
    path: PathBuf,
    format: FileFormat,
    zstd: bool,
    append: bool,
    create_directory: bool,
    rotation: Option<Rotation>,
    flush_interval: Duration,
    clock: Arc<dyn Clock>,
    counted: Arc<Counted>,
    file: Option<File>,
    /// Bytes of the file that are whole.
    written: u64,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    pending: Pending,
    healthy: bool,
}

impl Writer {
    pub(super) fn new(
        id: &str,
        config: &config::FileExporter,
        clock: Arc<dyn Clock>,
        counted: Arc<Counted>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            path: config.path.clone(),
            format: config.format,
            zstd: config.zstd,
            append: config.append,
            create_directory: config.create_directory,
            rotation: config.rotation.clone(),
            flush_interval: config.flush_interval,
            clock,
            counted,
            file: None,
            written: 0,
            buffer: Vec::new(),
            scratch: Vec::new(),
            pending: Signal::ALL.map(|signal| (signal, 0)),
            healthy: true,
        }
    }

    /// Whether the file can be written to; leaves its content alone.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.create_directory
            && let Some(folder) = self.path.parent()
        {
            std::fs::create_dir_all(folder)?;
        }
        open(&self.path).map(drop)
    }

    /// Obeys until told to stop.
    pub(super) fn work(mut self, orders: &Receiver<Order>) {
        if let Err(error) = self.open(!self.append) {
            self.tell(&Err(error));
        }
        loop {
            match orders.recv_timeout(self.flush_interval) {
                Ok(Order::Write(job)) => self.take(&job),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    self.flush();
                    return;
                }
            }
        }
    }

    fn open(&mut self, emptied: bool) -> io::Result<()> {
        let mut file = open(&self.path)?;
        if emptied {
            file.set_len(0)?;
        }
        self.written = file.seek(SeekFrom::End(0))?;
        self.file = Some(file);
        Ok(())
    }

    fn take(&mut self, job: &Job) {
        let begin = self.buffer.len();
        if let Err(error) = self.encode(job) {
            self.buffer.truncate(begin);
            self.counted.failed(job.signal, job.items);
            self.tell(&Err(error));
            return;
        }
        for (signal, items) in &mut self.pending {
            if *signal == job.signal {
                *items += job.items;
            }
        }
        if self.buffer.len() >= BUFFER_MAX || self.flush_interval.is_zero() {
            self.flush();
        }
    }

    /// Appends a batch to the buffer.
    fn encode(&mut self, job: &Job) -> io::Result<()> {
        self.scratch.clear();
        let message: &[u8] = match self.format {
            FileFormat::Proto => &job.bytes,
            FileFormat::Json => {
                json::encode(job.signal, &job.bytes, &mut self.scratch).map_err(io::Error::other)?;
                &self.scratch
            }
        };
        let packed;
        let message = if self.zstd {
            packed = zstd::bulk::compress(message, ZSTD_LEVEL)?;
            &packed
        } else {
            message
        };
        if self.zstd || self.format == FileFormat::Proto {
            let length = u32::try_from(message.len()).map_err(io::Error::other)?;
            self.buffer.extend_from_slice(&length.to_be_bytes());
            self.buffer.extend_from_slice(message);
        } else {
            self.buffer.extend_from_slice(message);
            self.buffer.push(b'\n');
        }
        Ok(())
    }

    /// Hands the buffer to the system, all of it or nothing.
    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let result = self.write();
        for (signal, items) in &mut self.pending {
            let items = std::mem::take(items);
            match result {
                Ok(()) => self.counted.sent(*signal, items),
                Err(_) => self.counted.failed(*signal, items),
            }
        }
        self.buffer.clear();
        self.tell(&result);
    }

    fn write(&mut self) -> io::Result<()> {
        let length = self.buffer.len() as u64;
        if let Some(rotation) = self.rotation.clone()
            && self.written > 0
            && self.written + length > rotation.max_megabytes << 20
        {
            // Closed before it is renamed, as some systems want it.
            self.file = None;
            let names = Rotated::new(&self.path, rotation.localtime);
            rotate::set_aside(&names, &rotation, self.clock.now())?;
        }
        if self.file.is_none() {
            self.open(false)?;
        }
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("not open"));
        };
        if let Err(error) = file.write_all(&self.buffer) {
            // Half a line would spoil the next one. Where not even this works the file is opened anew.
            if file.set_len(self.written).is_err() || file.seek(SeekFrom::End(0)).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        self.written += length;
        Ok(())
    }

    /// One line when it begins to fail, and one when it works again.
    fn tell(&mut self, result: &io::Result<()>) {
        let (exporter, path) = (&self.id, self.path.display());
        match result {
            Ok(()) if !self.healthy => tracing::info!(%exporter, %path, "writes to its file again"),
            Err(error) if self.healthy => {
                tracing::error!(%exporter, %path, %error, "cannot write to its file; what it cannot is counted");
            }
            Ok(()) | Err(_) => {}
        }
        self.healthy = result.is_ok();
        match result {
            Ok(()) => self.counted.works(),
            Err(error) => self.counted.ails(&format!("{}: {error}", self.path.display())),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Not in append mode: a write that fails half way is taken back.
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
}
