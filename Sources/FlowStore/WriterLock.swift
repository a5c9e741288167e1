internal import Glibc

/// The exclusive right to write to one store: a lock on `FILE.lock`, held until this object goes away or its process ends.
///
/// System SQLite before 3.51.3 can corrupt a WAL file when two connections write or checkpoint at once
/// (sqlite.org/wal.html, section 11 "The WAL-reset bug"); so one locked writer does both for its whole run. The lock is `flock`'s: it
/// belongs to the open file, so it also keeps two stores of one process apart, and the kernel drops it with the process.
/// The file itself stays: to remove it would let two processes lock two files of the same name.
final class WriterLock {
  private let descriptor: Int32
  let path: String

  /// Pause between two attempts while waiting.
  private static let pauseMicroseconds: UInt32 = 20_000

  init(database: String, wait: Duration) throws(StoreError) {
    path = database + ".lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      let reason = "cannot make the lock file beside the database: \(systemMessage())"
      throw .file(path: path, reason: reason + "; its folder must exist, and be writable for this user")
    }
    let deadline = ContinuousClock.now.advanced(by: wait)
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let failure = errno
      if failure == EINTR { continue }
      guard failure == EWOULDBLOCK else {
        let reason = "cannot lock: \(systemMessage(failure))"
        close(descriptor)
        throw .file(path: path, reason: reason)
      }
      guard ContinuousClock.now < deadline else {
        let owner = WriterLock.owner(of: descriptor)
        close(descriptor)
        throw .locked(path: database, pid: owner)
      }
      usleep(WriterLock.pauseMicroseconds)
    }
    self.descriptor = descriptor
    // For the message of whoever comes next; the lock does not depend on it.
    let note = Array("\(getpid())\n".utf8)
    _ = ftruncate(descriptor, 0)
    _ = note.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
  }

  deinit {
    // A child process that another thread is just starting may still hold a copy of the descriptor: closing ours alone
    // would leave the lock with it.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  private static func owner(of descriptor: Int32) -> Int32? {
    var text = [UInt8](repeating: 0, count: 16)
    let count = text.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
    guard count > 0 else { return nil }
    let digits = text.prefix(count).prefix { $0 >= 0x30 && $0 <= 0x39 }
    return Int32(String(decoding: digits, as: UTF8.self))
  }
}

/// The C library's words for `errno`.
func systemMessage(_ code: Int32 = errno) -> String {
  String(cString: strerror(code))
}
