//! HTTP over a Unix socket: the connection of [`ureq`].

use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::net::{self, SendFlags};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Connects to a Unix socket, whatever the URL says.
#[derive(Debug)]
pub(crate) struct UnixConnector {
    /// The socket.
    pub(crate) path: PathBuf,
    /// Gets the first connection, for one who wants to end it while another thread waits in it.
    pub(crate) opened: Arc<OnceLock<UnixStream>>,
}

impl Connector for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let config = &details.config;
        let stream = UnixStream::connect(&self.path)?;
        // It stays with the first one.
        let _known = self.opened.set(stream.try_clone()?);
        Ok(Some(UnixTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        }))
    }
}

/// A connection.
pub(crate) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl fmt::Debug for UnixTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnixTransport").finish_non_exhaustive()
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(limit(timeout))?;
        let mut output = self.buffers.output().get(..amount).unwrap_or_default();
        while !output.is_empty() {
            // Without a signal where the daemon has closed the connection: a C program that uses
            // the library would die of it.
            match net::send(&self.stream, output, SendFlags::NOSIGNAL).map_err(io::Error::from) {
                Ok(sent) => output = output.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(Error::Timeout(timeout.reason)),
                // Who does not read to the end has refused; the answer tells why.
                Err(error) if is_hung_up(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(limit(timeout))?;
        let amount = loop {
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(Error::Timeout(timeout.reason)),
                other => break other?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A peer that closed the connection, or that says something unasked, is of no use.
        self.stream.set_nonblocking(true).is_ok()
            && matches!(self.stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            && self.stream.set_nonblocking(false).is_ok()
    }
}

/// None: for ever.
fn limit(timeout: NextTimeout) -> Option<Duration> {
    // A limit of zero means none to the kernel.
    timeout
        .not_zero()
        .map(|after| (*after).max(Duration::from_millis(1)))
}

fn is_hung_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
