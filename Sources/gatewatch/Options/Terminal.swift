internal import ArgumentParser
internal import Foundation
internal import Glibc
internal import Reports
internal import Synchronization

/// The one place that writes to the standard streams and asks what they are.
enum Terminal {
  static var isOutput: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Widths between a narrow split and what nobody reads across.
  private static let widths = 40...400

  /// As wide as the terminal says, else as COLUMNS says; a pipe or a file has no width.
  static var appearance: Appearance {
    let environment = ProcessInfo.processInfo.environment
    guard isOutput else { return Appearance() }
    var size = winsize()
    let reported = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 ? Int(size.ws_col) : 0
    let columns = environment["COLUMNS"].flatMap { Int($0) } ?? reported
    let hasColours = environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
    return Appearance(
      width: columns > 0 ? min(max(columns, widths.lowerBound), widths.upperBound) : 100, hasColours: hasColours)
  }

  /// Unix milliseconds.
  static var now: Int64 { Int64((Date().timeIntervalSince1970 * 1000).rounded(.down)) }

  /// What was written and has not left the process yet.
  private static let pending = Mutex<[UInt8]>([])
  /// Why something could not be written: what is complained of meanwhile must not make it forgotten.
  private static let failure = Mutex<OutputError?>(nil)
  /// Bytes that are written at once: a system call per row would cost more than the row.
  private static let bufferSize = 1 << 16

  static func write(_ text: String) throws { try write(OutputText(text)) }

  static func write(_ text: OutputText) throws {
    try pending.withLock { pending in
      pending.append(contentsOf: text.utf8)
      if pending.count >= bufferSize { try drain(&pending) }
    }
  }

  static func flush() throws {
    try pending.withLock { try drain(&$0) }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  private static func drain(_ pending: inout [UInt8]) throws {
    defer { pending.removeAll(keepingCapacity: true) }
    try pending.withUnsafeBytes { bytes in
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = Glibc.write(STDOUT_FILENO, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else {
          let error = OutputError(reason: String(cString: strerror(errno)))
          failure.withLock { $0 = error }
          throw error
        }
        rest = rest.dropFirst(count)
      }
    }
  }

  /// A message for the person, on the error stream, safe to show.
  static func complain(_ message: String) {
    try? flush()
    // Messages of the program itself may have several lines.
    let lines = message.split(separator: "\n", omittingEmptySubsequences: false).map { TerminalText.safe(String($0)) }
    writeError("gatewatch: \(lines.joined(separator: "\n"))\n")
  }

  /// To the error stream, as it is. Where that is full or closed there is nobody left to tell.
  static func writeError(_ text: String) {
    let bytes = Array(text.utf8)
    bytes.withUnsafeBytes { bytes in
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = Glibc.write(STDERR_FILENO, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
      }
    }
  }

  /// Runs `body`; an error becomes a message and the exit code.
  static func exiting(with code: Int32 = 1, _ body: () throws -> Void) throws {
    do {
      try body()
      try flush()
    } catch let error as ExitCode {
      throw error
    } catch {
      complain("\(error)")
      throw ExitCode(code)
    }
  }
}

/// The answer could not be written.
struct OutputError: Error, CustomStringConvertible {
  var reason: String
  var description: String { "cannot write the answer: \(reason)" }
}
