//! HTTP over a Unix socket: the connection of [`ureq`].

use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{self, AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// How long a connection that asks nothing may take.
const CONNECTION: Duration = Duration::from_secs(30);

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
        let stream = connect(&self.path, details.timeout)?;
        // It stays with the first one.
        let _known = self.opened.set(stream.try_clone()?);
        Ok(Some(UnixTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        }))
    }
}

/// A connection to the socket at `path`. Where too many wait already for whoever listens there, it is
/// waited for, too, as long as the timeout for sending says (unix(7)).
fn connect(path: &Path, timeout: NextTimeout) -> Result<UnixStream, Error> {
    let address = SocketAddrUnix::new(path).map_err(io::Error::from)?;
    let kind = SocketType::STREAM;
    let socket = net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None);
    let socket = socket.map_err(io::Error::from)?;
    set_socket_timeout(&socket, Timeout::Send, limit(timeout)).map_err(io::Error::from)?;
    loop {
        match net::connect(&socket, &address) {
            Ok(()) => return Ok(socket.into()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(Error::Timeout(timeout.reason)),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

/// Process id of who listens at the socket at `path`.
pub(crate) fn process_behind(path: &Path) -> io::Result<u32> {
    let timeout = NextTimeout {
        after: CONNECTION.into(),
        reason: ureq::Timeout::Connect,
        ..NextTimeout::default()
    };
    let stream = connect(path, timeout).map_err(Error::into_io)?;
    let pid = socket_peercred(&stream)?.pid.as_raw_pid();
    u32::try_from(pid).map_err(io::Error::other)
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::*;

    /// Nobody takes the connections of this socket, and the kernel keeps one or two.
    #[test]
    fn who_does_not_accept_is_not_waited_for_for_ever() {
        let name = format!("rvrrpadm-test-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _left = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        net::listen(&listener, 0).unwrap();
        let timeout = NextTimeout {
            after: Duration::from_millis(50).into(),
            reason: ureq::Timeout::Connect,
            ..NextTimeout::default()
        };
        let begin = Instant::now();
        let mut taken = Vec::new();
        let error = loop {
            match connect(&path, timeout) {
                Ok(stream) => taken.push(stream),
                Err(error) => break error,
            }
            assert!(taken.len() < 10);
        };
        std::fs::remove_file(&path).unwrap();
        assert!(
            matches!(error, Error::Timeout(ureq::Timeout::Connect)),
            "{error}"
        );
        assert!(begin.elapsed() >= Duration::from_millis(50));
        assert!(matches!(connect(&path, timeout), Err(Error::Io(_))));
    }
}
