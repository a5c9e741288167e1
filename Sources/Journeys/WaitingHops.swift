/// Later hops that wait for an earlier one, by key and, of each key, in runs of one kind, in the order in which they began.
///
/// What a question has settled is passed over by all that follow: where thousands have one key, each is taken up once.
struct WaitingHops {
  struct Entry {
    var key: UInt64
    /// Equal where what is asked differs by their times alone.
    var run: UInt64
    var startedAtMs: Int64
    var hop: Int32
  }

  enum Question: Int {
    case doubted, known, hasLine
  }

  let entries: [Entry]
  /// Of each key the place of its first entry.
  private let firsts: KeyIndex
  /// Of each question and entry, a place up to which all is settled, its own included, or its own. One more than entries.
  private var open: [[Int32]]

  init(_ entries: [Entry]) {
    self.entries = entries.sorted {
      ($0.key, $0.run, $0.startedAtMs, $0.hop) < ($1.key, $1.run, $1.startedAtMs, $1.hop)
    }
    var firsts: [KeyIndex.Entry] = []
    for (place, entry) in self.entries.enumerated() where place == 0 || self.entries[place - 1].key != entry.key {
      firsts.append(KeyIndex.Entry(key: entry.key, hop: Int32(place)))
    }
    self.firsts = KeyIndex(firsts)
    open = entries.isEmpty ? [] : Array(repeating: Array(0...Int32(entries.count)), count: 3)
  }

  /// The place of the first entry of a key; negative for none.
  @inline(__always)
  func first(of key: UInt64) -> Int {
    firsts.ask { firsts in
      let chain = firsts.chain(of: key)
      return chain < 0 ? -1 : Int(firsts.hop(of: chain))
    }
  }

  /// The run that begins at a place.
  func run(at place: Int) -> Range<Int> {
    let (key, run) = (entries[place].key, entries[place].run)
    return place..<past(place, until: entries.count) { $0.key == key && $0.run == run }
  }

  /// Those of a run, or of a part of one, that began in a stretch of time.
  func stretch(in run: Range<Int>, _ times: ClosedRange<Int64>) -> Range<Int> {
    let begin = past(run.lowerBound, until: run.upperBound) { $0.startedAtMs < times.lowerBound }
    return begin..<past(begin, until: run.upperBound) { $0.startedAtMs <= times.upperBound }
  }

  /// The first place from `place` on whose entry is not one of those that stand first and `isPassed`: by steps that double, then
  /// by halves.
  private func past(_ place: Int, until end: Int, _ isPassed: (Entry) -> Bool) -> Int {
    guard place < end, isPassed(entries[place]) else { return place }
    var (low, step) = (place, 1)
    while low + step < end, isPassed(entries[low + step]) {
      low += step
      step *= 2
    }
    var high = min(low + step, end)
    while high - low > 1 {
      let middle = (low + high) / 2
      if isPassed(entries[middle]) { low = middle } else { high = middle }
    }
    return high
  }

  /// The first place from `place` on of which the question is not settled.
  mutating func next(_ place: Int, stillToBe question: Question) -> Int {
    var found = place
    while case let ahead = Int(open[question.rawValue][found]), ahead != found { found = ahead }
    // Each that was passed is led there at once.
    var passed = place
    while passed != found {
      let ahead = Int(open[question.rawValue][passed])
      open[question.rawValue][passed] = Int32(found)
      passed = ahead
    }
    return found
  }

  mutating func settle(_ place: Int, _ question: Question) { open[question.rawValue][place] = Int32(place + 1) }
}

/// Moments by key, in order: how many of a key there are in a stretch of time.
struct Moments {
  struct Entry {
    var key: UInt64
    var ms: Int64
  }

  private let entries: [Entry]

  init(_ entries: [Entry]) { self.entries = entries.sorted { ($0.key, $0.ms) < ($1.key, $1.ms) } }

  func count(_ key: UInt64, from: Int64, through: Int64) -> Int {
    guard from <= through else { return 0 }
    return place { ($0.key, $0.ms) <= (key, through) } - place { ($0.key, $0.ms) < (key, from) }
  }

  /// How many stand first that `isPassed`.
  private func place(_ isPassed: (Entry) -> Bool) -> Int {
    var (low, high) = (0, entries.count)
    while low < high {
      let middle = (low + high) / 2
      if isPassed(entries[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
