public import AccessLogs

/// The lines of an input one by one, decompressed: for looking at a log, not for storing it.
public struct LogLines {
  public let path: String
  private let file: LogFile
  private let maxLine: Int

  /// Opens a file (plain or gzipped), or `-` for standard input.
  public init(path: String, limits: IngestLimits = IngestLimits()) throws(LogLinesError) {
    self.path = path
    maxLine = limits.maxLineBytes
    do throws(ReadError) { file = try LogFile(path: path, limits: limits) } catch {
      throw LogLinesError(path: path, message: error.message)
    }
  }

  /// What the path says of the lines, as reading the log would take it.
  public var context: LogContext {
    let name = LogName(path)
    return LogContext(
      ordinal: 0, namespace: name.namespace, pod: name.pod, container: name.container,
      writtenAtMs: file.modifiedNs / 1_000_000)
  }

  /// Hands out the lines without their newline until `body` returns false; of an overlong line, one byte more than may be
  /// parsed.
  public func forEach(_ body: ([UInt8]) throws -> Bool) throws {
    var line: [UInt8] = []
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: LogLines.chunkBytes, alignment: 16)
    defer { chunk.deallocate() }
    while true {
      let count: Int
      do throws(ReadError) { count = try file.read(into: chunk) } catch {
        throw LogLinesError(path: path, message: error.message)
      }
      guard count > 0 else { break }
      for byte in chunk.prefix(count) {
        if byte == UInt8(ascii: "\n") {
          guard try body(line) else { return }
          line.removeAll(keepingCapacity: true)
        } else if line.count <= maxLine {
          line.append(byte)
        }
      }
    }
    if !line.isEmpty { _ = try body(line) }
  }

  private static let chunkBytes = 64 << 10
}

/// An input that cannot be looked at.
public struct LogLinesError: Error, Equatable, CustomStringConvertible {
  public var path: String
  public var message: String
  public var description: String { "\(path): \(message)" }
}
