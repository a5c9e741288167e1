internal import Flows

/// What stands around lines and parts of lines: found, remembered, taken off, joined.
extension LineParser {
  enum Unwrapped {
    case whole(Slice)
    /// A record without a newline, or the beginning of one.
    case short(Slice, stream: Int)
    /// The record goes on in a later line.
    case joining
  }

  /// Peels the wrappers of the line before; nil when this line does not wear them.
  func peelAll(_ line: Slice) -> Unwrapped? {
    var inner = line
    var time = Slice.absent
    var names = Peeled(inner: .absent)
    var stream = 0
    var (isPartial, isShort) = (false, false)
    for wrapper in wrappers {
      guard let peeled = wrapper.peel(inner, scratch: scratch) else { return nil }
      inner = peeled.inner
      if !peeled.time.isEmpty { time = peeled.time }
      if !peeled.pod.isEmpty { names = peeled }
      if wrapper == .cri || wrapper == .dockerJSON {
        stream = peeled.stream
        (isPartial, isShort) = (peeled.isPartial, peeled.isShort)
      }
    }
    useWriter(names.namespace, names.pod, names.container)
    readTime(time)
    if isShort, !inner.isEmpty {
      if runs.isShort(stream) || !runs.hasRun(stream) { return .short(inner, stream: stream) }
      // The end of a record that its writer did not finish.
      isPartial = false
    }
    return join(inner, stream: stream, isPartial: isPartial)
  }

  /// A part that is shorter than docker's: a record whose newline a collector took off, if it is understood; else perhaps the
  /// beginning of one. Two in a row are two records.
  func readShort(_ part: Slice, _ stream: Int, into batch: FlowBatch) {
    if runs.hasRun(stream) {
      let before = runs.take(stream)
      // It stands on the line before.
      nextLine &-= 1
      reject(reason(for: before), before, into: batch)
      nextLine &+= 1
    }
    if understandAny(part, isCut: false, thorough: false, into: batch) { return }
    if let kind = SkippedLines.kind(of: part) { return skip(kind, into: batch) }
    if understandAny(part, isCut: false, thorough: true, into: batch) { return }
    runs.append(part, to: stream, isShort: true)
  }

  private func join(_ inner: Slice, stream: Int, isPartial: Bool) -> Unwrapped {
    var inner = inner
    // An empty part without a record is a line that nobody would ever see again.
    if isPartial, !inner.isEmpty || runs.hasRun(stream) {
      runs.append(inner, to: stream)
      return .joining
    }
    if runs.hasRun(stream) {
      runs.append(inner, to: stream)
      inner = runs.take(stream)
    }
    if !inner.isEmpty, inner.end[-1] == ASCII.carriageReturn { inner = Slice(inner.start, inner.end - 1) }
    return .whole(inner)
  }

  /// Looks for wrappers nobody has seen on this log yet: up to three, outside in.
  func unwrapAndUnderstand(_ line: Slice, into batch: FlowBatch) -> Bool {
    let before = wrappers
    for stack in Self.stacks(for: line) {
      wrappers = stack
      guard let unwrapped = peelAll(line) else { continue }
      switch unwrapped {
      case .joining: return true
      case .short(let part, let stream):
        readShort(part, stream, into: batch)
        return true
      case .whole(let inner):
        if inner.isEmpty {
          skip("blank", into: batch)
          return true
        }
        if inner.count > Self.maxLine {
          reject("too-long", inner, into: batch)
          return true
        }
        // Another wrapper inside (docker around `kubectl logs`, syslog around CRI): one more level, by the same means.
        if understandAny(inner, isCut: false, thorough: false, into: batch) { return true }
        if let kind = SkippedLines.kind(of: inner) {
          skip(kind, into: batch)
          return true
        }
        for second in Wrapper.allCases where second != .dockerJSON && second.peel(inner, scratch: scratch) != nil {
          wrappers = stack + [second]
          guard case .whole(let core)? = peelAll(line) else { continue }
          if understandAny(core, isCut: false, thorough: false, into: batch) { return true }
          if second != .stern, second != .sternAllNamespaces, let kind = SkippedLines.kind(of: core) {
            skip(kind, into: batch)
            return true
          }
        }
        wrappers = stack
        _ = peelAll(line)
        if understandAny(inner, isCut: false, thorough: true, into: batch) { return true }
      }
    }
    wrappers = before
    return false
  }

  /// The wrappers a line could wear, by its first bytes. Stern comes last: two words at the front are weak evidence.
  private static func stacks(for line: Slice) -> [[Wrapper]] {
    if line.isEmpty { return [] }
    switch line[0] {
    case ASCII.openBrace: return [[.dockerJSON]]
    case ASCII.openBracket: return [[.kubectlPrefix]]
    case ASCII.less: return [[.syslog5424], [.syslog3164]]
    case ASCII.escape: return [[.sternAllNamespaces], [.stern]]
    case let byte where ASCII.isDigit(byte):
      return [[.cri], [.timestamp], [.syslog3164], [.syslog5424], [.sternAllNamespaces], [.stern]]
    case let byte where ASCII.isLetter(byte): return [[.syslog3164], [.sternAllNamespaces], [.stern]]
    default: return []
    }
  }

  private func readTime(_ time: Slice) {
    builder.state.pointee.writtenAtMs = Numbers.missing
    builder.state.pointee.isWrittenWithoutZone = false
    guard time.count >= 19, ASCII.isDigit(time[0]) else {
      if time.count == 15 {
        builder.state.pointee.writtenAtMs = syslogTime(time)
        builder.state.pointee.isWrittenWithoutZone = true
      }
      return
    }
    var p = time.start
    guard let seconds = wrapperTime.read(&p, to: time.end) else { return }
    var value = seconds
    if p < time.end, p.pointee == ASCII.dot {
      p += 1
      var digits = 0
      var fraction: Int64 = 0
      while p < time.end, ASCII.isDigit(p.pointee) {
        if digits < 3 { fraction = fraction * 10 + Int64(p.pointee - ASCII.zero) }
        digits += 1
        p += 1
      }
      while digits < 3 {
        fraction *= 10
        digits += 1
      }
      value += fraction
    }
    if p < time.end, p.pointee != ASCII.upperZ {
      guard let offset = TimeFormat.Part.readZone(&p, to: time.end) else { return }
      value -= offset
    }
    builder.state.pointee.writtenAtMs = value
  }

  private func syslogTime(_ time: Slice) -> Int64 {
    var p = time.start
    return TimeReader.read(
      [
        .monthName, .literal([ASCII.space]), .dayPadded, .literal([ASCII.space]), .hour2, .literal([ASCII.colon]),
        .minute2,
        .literal([ASCII.colon]), .second2,
      ],
      &p, to: time.end, reference: wrapperTime.reference) ?? Numbers.missing
  }

  func useWriter(_ namespace: Slice, _ pod: Slice, _ container: Slice) {
    guard !pod.isEmpty else {
      if builder.state.pointee.writer != 0 || builder.pod != context.pod || builder.namespace != context.namespace {
        builder.state.pointee.writer = 0
      }
      builder.namespace = context.namespace
      builder.pod = context.pod
      builder.container = context.container
      return
    }
    let writer = writers.writer(namespace, pod, container)
    builder.state.pointee.writer = writer.number
    builder.namespace = writer.namespace ?? context.namespace
    builder.pod = writer.pod
    builder.container = writer.container
  }

  func flushRuns(into batch: FlowBatch) {
    // Their last parts stand on lines that were counted already.
    nextLine &-= 1
    defer { nextLine &+= 1 }
    for stream in 0..<PartialRuns.streams where runs.hasRun(stream) {
      let line = runs.take(stream)
      effortLeft = Backtracking.lineBudget
      if line.count > Self.maxLine {
        reject("too-long", line, into: batch)
        continue
      }
      if understandAny(line, isCut: false, thorough: false, into: batch) { continue }
      reject("truncated", line, into: batch)
    }
  }
}

extension TimeFormat.Part {
  /// `+00:00`, `-0700`, `Z` in milliseconds east of UTC.
  static func readZone(_ p: inout Bytes, to end: Bytes) -> Int64? { TimeReader.zone(&p, to: end) }
}
