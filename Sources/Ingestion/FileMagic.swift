/// Encodings of a whole file that are told by its first bytes.
///
/// Read as text, such a file would be thousands of rejected lines of which none says what is wrong.
enum FileMagic {
  /// Bytes that decide; a stream gives them one by one, if it likes.
  static let length = 16

  /// Bytes of which some would be no text, if it were none.
  static let sampled = 512

  /// Control characters that no proxy writes: not tab, carriage return, escape.
  static func isNoText(_ byte: UInt8) -> Bool { byte < 0x20 && ![0x09, 0x0A, 0x0D, 0x1B].contains(byte) }

  private struct Unread {
    var bytes: [UInt8]
    var name: String
    var remedy: String
  }

  private static let gzip: [UInt8] = [0x1F, 0x8B]

  /// The formats' own documents: xz-file-format 2.1.1, RFC 8878 3.1.1 (Zstandard), bzip2's block header behind the digit
  /// of the level, LZ4 frame format, APPNOTE.TXT 4.3.7 (zip), Unicode's byte order marks.
  private static let unread = [
    Unread(bytes: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], name: "compressed by xz", remedy: "xz -dk"),
    Unread(bytes: [0x28, 0xB5, 0x2F, 0xFD], name: "compressed by zstd", remedy: "zstd -d"),
    Unread(bytes: [0x04, 0x22, 0x4D, 0x18], name: "compressed by lz4", remedy: "lz4 -d"),
    Unread(bytes: [0x50, 0x4B, 0x03, 0x04], name: "a zip archive", remedy: "unzip"),
    Unread(bytes: [0xFF, 0xFE], name: "UTF-16", remedy: "iconv -f UTF-16 -t UTF-8"),
    Unread(bytes: [0xFE, 0xFF], name: "UTF-16", remedy: "iconv -f UTF-16 -t UTF-8"),
  ]
  /// sqlite.org/fileformat2.html section 1.3.1: a copy of a store, perhaps, among the logs.
  private static let sqlite = [UInt8]("SQLite format 3\0".utf8)
  private static let bzip2: (name: [UInt8], block: [UInt8]) = (
    [UInt8]("BZh".utf8), [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]
  )

  static func isGzip(_ start: UnsafeRawBufferPointer) -> Bool { start.starts(with: gzip) }

  /// What such a file is and what makes a log of it; nil for anything that is read.
  static func refusal(of start: UnsafeRawBufferPointer) -> ReadError? {
    if start.starts(with: sqlite) {
      return ReadError(message: "is an SQLite database, not a log: it was left out", isNoLog: true)
    }
    if let known = unread.first(where: { start.starts(with: $0.bytes) }) {
      return refusal(name: known.name, remedy: known.remedy)
    }
    if start.starts(with: bzip2.name), start.dropFirst(bzip2.name.count + 1).starts(with: bzip2.block) {
      return refusal(name: "compressed by bzip2", remedy: "bzip2 -dk")
    }
    return nil
  }

  private static func refusal(name: String, remedy: String) -> ReadError {
    ReadError(message: "is \(name), which is not read: convert it first (\(remedy) FILE), or leave it out by a pattern")
  }
}
