@testable import AccessLogs

/// What `PathTemplate` has to equal, said as its doc comment says it: cut the query, take the path apart into runs of
/// hexadecimal digits and what stands between them, look at each run on its own.
struct SlowPathTemplate {
  private enum Piece {
    case run([UInt8])
    case between(UInt8)

    var run: [UInt8]? {
      if case .run(let digits) = self { return digits }
      return nil
    }
    var bytes: [UInt8] {
      switch self {
      case .run(let digits): digits
      case .between(let byte): [byte]
      }
    }
    func isByte(_ byte: UInt8) -> Bool { bytes == [byte] && run == nil }
  }

  func template(of path: [UInt8]) -> [UInt8] {
    let pieces = SlowPathTemplate.pieces(of: path.prefix { $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
    var template: [UInt8] = []
    var index = 0
    while index < pieces.count {
      defer { index += 1 }
      guard let run = pieces[index].run, SlowPathTemplate.isIdentifier(run, fillsSegment: fillsSegment(pieces, index))
      else {
        template += pieces[index].bytes
        continue
      }
      template.append(UInt8(ascii: "*"))
      // The rest of a UUID.
      while index + 2 < pieces.count, pieces[index + 1].isByte(UInt8(ascii: "-")),
        (pieces[index + 2].run ?? []).count >= 4
      {
        index += 2
      }
    }
    return template.count <= PathTemplate.maxLength
      ? template : template.prefix(PathTemplate.maxLength - 3) + Array("...".utf8)
  }

  private static func pieces(of path: ArraySlice<UInt8>) -> [Piece] {
    var pieces: [Piece] = []
    for byte in path {
      guard Character(UnicodeScalar(byte)).isHexDigit, byte < 0x80 else {
        pieces.append(.between(byte))
        continue
      }
      let before = pieces.last?.run
      if before != nil { pieces.removeLast() }
      pieces.append(.run((before ?? []) + [byte]))
    }
    return pieces
  }

  private func fillsSegment(_ pieces: [Piece], _ index: Int) -> Bool {
    (index == 0 || pieces[index - 1].isByte(UInt8(ascii: "/")))
      && (index + 1 == pieces.count || pieces[index + 1].isByte(UInt8(ascii: "/")))
  }

  private static func isIdentifier(_ run: [UInt8], fillsSegment: Bool) -> Bool {
    let digits = run.count { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    if digits == run.count { return digits >= 5 || fillsSegment }
    return digits > 0 && run.count >= 8
  }
}
