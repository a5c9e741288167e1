extension FormatError {
  /// Columns of the format string that are shown; longer ones are cut around the trouble.
  private static let excerptWidth = 96

  /// The error for people: message, place, the line with a caret under the trouble, and what to do.
  ///
  ///     error: unknown command operator %STRT_TIME%
  ///       --> mesh.yaml
  ///        | [%STRT_TIME%] %RESPONSE_CODE%
  ///        |  ^^^^^^^^^^^
  ///     help: did you mean %START_TIME%?
  public func rendered(file: String? = nil) -> String {
    let bytes = Array(format.utf8)
    let start = min(range.lowerBound, bytes.count)
    let lineStart = bytes[..<start].lastIndex(of: ASCII.newline).map { $0 + 1 } ?? 0
    let lineEnd = bytes[start...].firstIndex(of: ASCII.newline) ?? bytes.count
    let end = max(start, min(range.upperBound, lineEnd))

    let before = visible(bytes[lineStart..<start])
    var marked = visible(bytes[start..<end])
    var after = visible(bytes[end..<lineEnd])
    let column = before.count + 1
    var lead = before[...]
    // Room for the context on the left, then for the trouble itself, then for what is left of the line.
    if before.count + marked.count + after.count > Self.excerptWidth {
      let leadRoom = Self.excerptWidth / 3
      if lead.count > leadRoom { lead = ["…"] + lead.suffix(leadRoom - 1) }
      let markedRoom = Self.excerptWidth - lead.count
      if marked.count > markedRoom { marked = marked.prefix(markedRoom - 1) + ["…"] }
      let afterRoom = Self.excerptWidth - lead.count - marked.count
      if after.count > afterRoom { after = after.prefix(max(0, afterRoom - 1)) + ["…"] }
    }

    var text = "error: \(message)\n"
    let line = bytes[..<start].count { $0 == ASCII.newline } + 1
    if let file {
      text += "  --> \(file):\(line):\(column)\n"
    } else if line > 1 || lineEnd < bytes.count {
      text += "  --> line \(line), column \(column)\n"
    } else {
      text += "  --> column \(column)\n"
    }
    text += "   | " + String(lead) + String(marked) + String(after) + "\n"
    text +=
      "   | " + String(repeating: " ", count: lead.count) + String(repeating: "^", count: max(1, marked.count)) + "\n"
    if !help.isEmpty { text += "help: \(help)\n" }
    return text
  }

  /// One character per column: what would move the cursor or hide itself becomes `?`.
  private func visible(_ bytes: ArraySlice<UInt8>) -> [Character] {
    String(decoding: bytes, as: UTF8.self).unicodeScalars.map { scalar in
      switch scalar.properties.generalCategory {
      case .control, .format, .surrogate, .unassigned, .lineSeparator, .paragraphSeparator, .nonspacingMark,
        .enclosingMark, .spacingMark:
        "?"
      default: Character(scalar)
      }
    }
  }
}
