import FlowStore
import Foundation
import Testing

@testable import Reports

/// What is plain is written in one piece; it has to look as the way for all texts would have it.
@Suite("Text on its way out")
struct OutputTextTests {
  /// Texts of up to four pieces, of which each means something to a format, or nothing.
  private static let texts: [String] = {
    let pieces = [
      "a", "www", ".", "://", ":", "/", " ", ",", "\"", "\\", "=", "-", "1", "'", "<", "&", "|", "*", "{", "`", "~",
      "%",
      "@", "\u{7f}", "\n", "\u{1b}", "é", "東", "\u{202e}", "\u{feff}", "\u{e0041}", "\u{301}",
    ]
    var texts = [""]
    for one in pieces { texts += [one, one + one] }
    for one in pieces { for other in pieces { texts += [one + other, "x" + one + other + "y", one + "www." + other] } }
    return texts
  }()

  @Test("a plain text is a cell of CSV as it stands")
  func cells() {
    for text in OutputTextTests.texts {
      for isRaw in [false, true] {
        var written = OutputText()
        written.append(cell: text, isRaw: isRaw)
        #expect(written.string == CSV.cell(text, isRaw: isRaw))
        // As RFC 4180 has it read: between quotes, each quote stands twice.
        let cell = Data(written.string.utf8)
        guard cell.first == UInt8(ascii: "\"") else {
          #expect(!cell.contains { [0x22, 0x2C, 0x0A, 0x0D].contains($0) })
          continue
        }
        let inside = cell.dropFirst().dropLast().replacing(Data([0x22, 0x22]), with: Data())
        #expect(cell.count > 1 && !inside.contains(0x22), "\(written.string)")
        if isRaw {
          #expect(
            Data(cell.dropFirst().dropLast()).replacing(Data([0x22, 0x22]), with: Data([0x22])) == Data(text.utf8))
        }
      }
    }
  }

  @Test("a plain text is a string of JSON as it stands, and every string is read back as it was")
  func strings() throws {
    for text in OutputTextTests.texts {
      let json = JSON.string(text)
      #expect(json == "\"\(JSON.escaped(text))\"")
      let read = try JSONSerialization.jsonObject(with: Data(json.utf8), options: .fragmentsAllowed) as? String
      #expect(read.map { Array($0.utf8) } == Array(text.utf8), "\(json)")
    }
  }

  @Test("Markdown and HTML escape what opens markup or a link")
  func markup() {
    for text in OutputTextTests.texts {
      let safe = TerminalText.safe(text)
      var markdown = ""
      for scalar in safe.unicodeScalars {
        if #"\|`*_<>[]&~#!$"#.unicodeScalars.contains(scalar) { markdown += "\\" }
        markdown.unicodeScalars.append(scalar)
      }
      // In bytes: a mark behind a dot makes no other dot of it.
      let data = Data(markdown.utf8).replacing(Data("://".utf8), with: Data("\\://".utf8))
        .replacing(Data("www.".utf8), with: Data("www\\.".utf8))
      #expect(Data(Markdown.escaped(text).utf8) == data)
      let html = HTML.escaped(text)
      #expect(!html.contains { "<>\"'`{}".contains($0) })
      let read = [
        ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#123;", "{"), ("&#125;", "}"),
        ("&#96;", "`"),
        ("&amp;", "&"),
      ].reduce(Data(html.utf8)) { $0.replacing(Data($1.0.utf8), with: Data($1.1.utf8)) }
      #expect(read == Data(safe.utf8))
    }
  }

  @Test("a cell of a table is the text as a terminal may see it")
  func tableCells() throws {
    for text in OutputTextTests.texts {
      let out = Text()
      var table = TextTable(appearance: Appearance(), sink: out.take)
      try table.begin(Heading(columns: [Query.Column(name: "c", kind: .text), Query.Column(name: "n", kind: .count)]))
      try table.row([.text(text), 1000])
      try table.end(Footing())
      let safe = TerminalText.safe(text)
      let room = String(repeating: " ", count: max(1, TerminalText.width(safe)) - TerminalText.width(safe))
      #expect(Array(out.text.utf8).lastLine == Array("\(safe)\(room)  1,000".utf8))
    }
  }

  @Test("numbers, times and sizes are as Foundation writes them")
  func numbers() throws {
    let numbers: [Int64] = [
      0, 1, 9, 10, 99, 100, 999, 1000, 1001, 99_999, 1_000_000, 123_456_789_012, .max, .min, -1, -1000,
    ]
    for number in numbers {
      var text = OutputText()
      text.append(number)
      #expect(text.string == "\(number)")
      let digits = "\(number.magnitude)".reversed().enumerated().map { ($0 > 0 && $0 % 3 == 0 ? "," : "") + "\($1)" }
      #expect(
        Quantities.grouped(number) == (number < 0 ? "-" : "")
          + String(digits.map { String($0.reversed()) }.reversed().joined()))
    }
    for ms in stride(from: -3_000_000_000_000, to: 5_000_000_000_000, by: 7_919_777_777) as StrideTo<Int64> {
      let date = Date(timeIntervalSince1970: Double(ms.quotientAndFloor(1000).quotient))
      let iso = date.ISO8601Format().dropLast()
      let milliseconds = String(format: "%03d", Int(ms.quotientAndFloor(1000).remainder))
      #expect(Quantities.iso(ms) == "\(iso).\(milliseconds)Z")
      #expect(Quantities.iso(ms, showsMilliseconds: false) == "\(iso)Z")
      var short = OutputText()
      short.append(short: ms)
      #expect(short.string == iso.replacing("T", with: " "))
    }
    for tenths in -120...120 {
      let ms = Double(tenths) / 10
      let text = String(format: "%.1f", ms)
      let shown = text.hasSuffix(".0") ? String(text.dropLast(2)) : text
      if ms < 10 { #expect(Quantities.duration(ms) == "\(shown) ms".replacing("-0 ms", with: "0 ms")) }
    }
  }

  @Test(
    "the first rows are the same, whether each was put in its place or all were sorted",
    arguments: [1, 3, 199, 200, 201, 999])
  func firstRows(limit: Int) {
    let groups = (0..<1000).map { ($0 * 7919) % 1009 }
    var others: [Int] = []
    let shown = TalliedAnswer.first(limit, of: groups, by: >, others: { others.append($0) })
    #expect(shown == Array(groups.sorted(by: >).prefix(limit)))
    #expect(others.sorted(by: >) == Array(groups.sorted(by: >).dropFirst(limit)))
  }
}

extension [UInt8] {
  fileprivate var lastLine: [UInt8] { Array(dropLast().split(separator: UInt8(ascii: "\n")).last ?? []) }
}

extension Int64 {
  /// The quotient rounded down, with what is left.
  fileprivate func quotientAndFloor(_ divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
