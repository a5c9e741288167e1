internal import ArgumentParser
internal import Foundation
internal import Reports

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

  static func write(_ text: String) throws {
    var text = text
    let isWritten = text.withUTF8 { fwrite($0.baseAddress, 1, $0.count, stdout) == $0.count }
    guard isWritten else { throw OutputError() }
  }

  static func flush() throws {
    guard fflush(stdout) == 0 else { throw OutputError() }
  }

  /// A message for the person, on the error stream, safe to show.
  static func complain(_ message: String) {
    fflush(stdout)
    // Messages of the program itself may have several lines.
    let lines = message.split(separator: "\n", omittingEmptySubsequences: false).map { TerminalText.safe(String($0)) }
    FileHandle.standardError.write(Data("gatewatch: \(lines.joined(separator: "\n"))\n".utf8))
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
  let reason = String(cString: strerror(errno))
  var description: String { "cannot write the answer: \(reason)" }
}
