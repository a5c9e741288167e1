import CLanes
import Testing

@testable import AccessLogs

/// What the lanes do for a group of lines is what their slow twins do line by line, with each processor's kernels.
struct EngineLaneTests {
  /// Lines side by side in one piece of memory, as a parser frames them, and room for what the lanes make of them.
  private final class Group {
    let bytes: UnsafeMutablePointer<UInt8>
    let lines: UnsafeMutablePointer<Slice>
    let places: UnsafeMutablePointer<Bytes>
    let lanes: LaneFields
    let group: UnsafeMutablePointer<lanes_group>
    let count: Int

    init(_ texts: some Collection<[UInt8]>) {
      count = texts.count
      let all = texts.flatMap { $0 + [ASCII.newline] }
      bytes = .allocate(capacity: all.count + LineParser.slack)
      bytes.initialize(repeating: ASCII.nine, count: all.count + LineParser.slack)
      bytes.update(from: all, count: all.count)
      lines = .allocate(capacity: count)
      places = .allocate(capacity: count)
      lanes = LaneFields(count)
      var p = UnsafePointer(bytes)
      for (lane, text) in texts.enumerated() {
        (lines + lane).initialize(to: Slice(p, p + text.count))
        (places + lane).initialize(to: p)
        p += text.count + 1
      }
      group = .allocate(capacity: 1)
      group.initialize(
        to: lanes_group(
          lines: UnsafeRawPointer(lines).assumingMemoryBound(to: lanes_slice.self),
          places: UnsafeMutableRawPointer(places).assumingMemoryBound(to: UnsafePointer<UInt8>?.self),
          slices: UnsafeMutableRawPointer(lanes.slices).assumingMemoryBound(to: lanes_slice.self),
          numbers: lanes.numbers, slots: UInt64(Fields.slots)))
    }

    deinit {
      bytes.deallocate()
      lines.deallocate()
      places.deallocate()
      group.deallocate()
    }
  }

  private static func isTaken(_ plan: TextPlan, _ line: [UInt8]) -> [String]? {
    withSlice(line) { slice in
      let lone = LaneFields()
      plan.prepare(lone.fields[0])
      return plan.matchForward(slice, into: lone.fields[0]) ? lone.values(0, plan.roles) : nil
    }
  }

  /// Splits lines in groups of any size, and holds each against what it is by itself.
  /// - Returns: how many of them were understood, and how many not.
  private static func compare(
    _ text: TextPlan, _ all: [[UInt8]], _ kernels: lanes_kernels, _ name: String, _ random: inout SplitMix
  ) -> (taken: Int, refused: Int) {
    var (taken, refused) = (0, 0)
    var rest = all[...]
    while !rest.isEmpty {
      let lines = rest.prefix(Int.random(in: 1...LineParser.group, using: &random))
      let group = Group(lines)
      for lane in 0..<lines.count { text.prepare(group.lanes.fields[lane]) }
      let understood = text.forward.match(group.group, lines.count, into: group.lanes.fields, kernels)
      for (lane, line) in lines.prefix(understood + 1).enumerated() {
        let expected = isTaken(text, line)
        let found = lane < understood ? group.lanes.values(lane, text.roles) : nil
        #expect(found == expected, "\(name): \(String(decoding: line, as: UTF8.self))")
        if expected == nil { refused += 1 } else { taken += 1 }
      }
      rest = rest.dropFirst(understood + (understood < lines.count ? 1 : 0))
    }
    return (taken, refused)
  }

  @Test("columns that are split off side by side are those of each line by itself")
  func columns() {
    var random = SplitMix(state: 41)
    let noise = Array("\" |/:-[]0 \"12345678HTTP/2".utf8)
    var (taken, refused) = (0, 0)
    for (seed, plan) in FormatPlan.builtIn.enumerated() {
      guard case .text(let text) = LinePlan(plan, index: seed), case .text(let pieces) = plan.body else { continue }
      var generator = LineGenerator(seed: UInt64(seed) &+ 9, nastiness: 5)
      let all = (0..<160).map { _ in
        var line = generator.line(of: pieces, dialect: plan.dialect).filter { $0 != ASCII.newline }
        if Int.random(in: 0..<3, using: &random) == 0 {
          let place = Int.random(in: 0...line.count, using: &random)
          if Bool.random(using: &random), place < line.count {
            line.removeSubrange(place...)
          } else {
            line.insert(noise[Int.random(in: 0..<noise.count, using: &random)], at: place)
          }
        }
        return line
      }
      for kernels in LineParser.kernels {
        let counts = Self.compare(text, all, kernels, plan.name, &random)
        (taken, refused) = (taken + counts.taken, refused + counts.refused)
      }
    }
    #expect(taken > 500 && refused > 100, "\(taken) \(refused)")
  }

  /// Times, durations and whole numbers as proxies print them, and some that are none or not of this shape.
  private static func shapes(_ random: inout SplitMix) -> [(plan: FormatPlan, lines: [[UInt8]])] {
    let plans = [
      try! FormatPlan.envoy("[%START_TIME%] %DURATION%"),
      try! FormatPlan.nginx("$time_local] $session_time $bytes_sent", http: false),
      try! FormatPlan.nginx("$time_iso8601 $bytes_sent $session_time", http: false),
      try! FormatPlan.nginx("$msec $session_time $bytes_sent", http: false),
      try! FormatPlan.squid("%ts.%03tu %6tr %<st"), try! FormatPlan.squid("%ts%03tu %6tr"),
      try! FormatPlan.squid("%6tr %tl"),
    ]
    let times: [[String]] = [
      ["[2020-08-28T06:32:%S.%T" + "Z]", "[2020-08-28T06:33:%S.%T+00:00]", "[2020-02-30T06:32:%S.%TZ]"],
      ["28/Aug/2020:06:32:%S +0000]", "28/Aug/2020:06:33:%S +0200]", "28/Aux/2020:06:33:%S +0200]"],
      ["2020-08-28T06:32:%S+00:00", "2020-08-28T06:32:%SZ", "2020-08-28T25:32:%SZ"],
      ["15985963%S.%T", "15985964%S.%T", "1598596%S.%T"], ["15985963%S.%T", "15985963%S7.%T", "1598596%S.%T"],
      ["15985963%S%T", "15985963%S%T5", "1598596%S%T"],
      ["28/Aug/2020:06:32:%S +0000", "28/Aug/2020:06:33:%S +02000", "28/Aug/2020:06:33:%S +02:00"],
    ]
    let numbers = ["0", "7", "1234567", "12345678", "-", "-5", "", "x", "   12", "          3", "99999999999999999999"]
    let decimals = [
      "0.015", "12.500", "1234.999", "12345.678", "0.1", "0.0155", "3", "-", "-0.250", ".5", "1.", "1.2x3",
    ]
    func one(_ of: [String], _ odd: Int) -> String {
      Int.random(in: 0..<odd, using: &random) == 0 ? of.randomElement(using: &random)! : of[0]
    }
    func time(_ shapes: [String]) -> String {
      let second = String(Int.random(in: 0..<1000, using: &random) < 980 ? Int.random(in: 10...60, using: &random) : 77)
      let thousandths = one(["\(Int.random(in: 100...999, using: &random))", "5x1", "12"], 60)
      return one(shapes, 20).replacing("%S", with: second).replacing("%T", with: thousandths)
    }
    return zip(plans, times).enumerated().map { (index, shape) in
      let lines = (0..<600).map { _ in
        let (number, decimal) = (one(numbers, 12), one(decimals, 6))
        let at = time(shape.1)
        let text =
          switch index {
          case 0, 5: "\(at) \(number)"
          case 1, 3: "\(at) \(decimal) \(number)"
          case 2: "\(at) \(number) \(decimal)"
          case 4: "\(at) \(number) \(one(numbers, 12))"
          default: "\(number) \(at)"
          }
        return Array((text + one(["", " ", "0", "]"], 80)).utf8)
      }
      return (shape.0, lines)
    }
  }

  @Test(
    "times like the one before, and numbers with three digits behind the point, are what readers of single lines say")
  func timesAndNumbers() {
    for (seed, kernels) in LineParser.kernels.enumerated() {
      var random = SplitMix(state: UInt64(seed) &+ 71)
      for (plan, all) in Self.shapes(&random) {
        guard case .text(let text) = LinePlan(plan, index: 0) else { continue }
        let (taken, refused) = Self.compare(text, all, kernels, plan.source, &random)
        #expect(taken > 400 && refused > 10, "\(plan.source): \(taken) \(refused)")
      }
    }
  }

  @Test("of a log whose times follow one another the lanes read each but the first of a minute")
  func moments() {
    for (format, text) in [
      (TimeFormat.iso8601Milliseconds, "2020-08-28T06:32:07.250Z"), (.commonLog, "28/Aug/2020:06:32:07 +0200"),
      (.iso8601Seconds, "2020-08-28T06:32:07+00:00"), (.epochSeconds, "1598596327"),
      (.epoch(fraction: 3), "1598596327.250"), (TimeFormat(parts: [.epochMilliseconds]), "1598596327250"),
    ] {
      var moment = lanes_moment()
      var (own, later) = (Int64(0), Int64(0))
      withSlice(Array(text.utf8)) { slice in
        var reader = TimeReader(format)
        var p = slice.start
        let value = reader.read(&p, to: slice.end)
        reader.show(slice, value ?? 0, in: &moment)
        #expect(lanes_read_time(slice.start, &moment, &own) == slice.end)
        #expect(own == value)
      }
      let isEpoch = text.hasPrefix("15")
      let next = isEpoch ? text.replacing("27", with: "59", maxReplacements: 1) : text.replacing(":07", with: ":59")
      withSlice(Array(next.utf8)) { _ = lanes_read_time($0.start, &moment, &later) }
      #expect(later - own == (isEpoch ? 32_000 : 52_000))
    }
    // A day, or a year, that has to come from elsewhere is another one for another line.
    #expect(TimeShape(TimeFormat(parts: [.hour2, .minute2, .second2])) == nil)
    #expect(TimeShape(TimeFormat(parts: [.monthName, .dayPadded, .hour2, .minute2, .second2])) == nil)
  }

  /// Objects of Istio's keys, now and then with something that only the reader of single lines understands.
  private static func objects(_ random: inout SplitMix, _ count: Int) -> [[UInt8]] {
    let values = [
      "null", #""-""#, #""""#, #""text""#, #""a\"b""#, #""\u0041""#, "12", #""12""#, "-", "-5", "12.5", #""7.5""#,
      "true",
      "123456789", #""a, b: {c}""#, #"{"a":1}"#, "[1]", #""10.0.0.1:80""#,
      #""\#(String(repeating: "long ", count: 40))""#,
    ]
    var names = [
      "method", "path", "response_code", "response_flags", "bytes_received", "bytes_sent", "duration", "authority",
      "upstream_host", "upstream_cluster", "request_id", "x_own_key", "downstream_remote_address", "path",
    ]
    return (0..<count).map { n in
      if n % 40 == 39 { names.shuffle(using: &random) }
      var text = #"{"start_time":"2020-08-28T06:32:0\#(n % 10).597Z""#
      for name in names.dropLast(n % 80 < 40 ? 1 : 0) {
        let isOdd = Int.random(in: 0..<60, using: &random) == 0
        let value =
          isOdd ? values.randomElement(using: &random)! : values[[0, 3, 6, 7, 17].randomElement(using: &random)!]
        text += #","\#(name)":\#(value)"#
      }
      if Int.random(in: 0..<30, using: &random) == 0 { text += [" ", ",", "}", "x"].randomElement(using: &random)! }
      return Array((text + "}").utf8)
    }
  }

  @Test("objects that are read side by side hold what each holds by itself")
  func objects() {
    let istio = FormatPlan.builtIn.first { $0.name == "istio-json" }!
    for (seed, kernels) in LineParser.kernels.enumerated() {
      var random = SplitMix(state: UInt64(seed) &+ 3)
      guard case .json(let plan) = LinePlan(istio, index: 0), case .json(let lone) = LinePlan(istio, index: 0) else {
        return
      }
      var (taken, refused) = (0, 0)
      let all = Self.objects(&random, 1200)
      let lanes = LaneFields(LineParser.group)
      var rest = all[...]
      while !rest.isEmpty {
        let lines = rest.prefix(Int.random(in: 1...LineParser.group, using: &random))
        let group = Group(lines)
        // The fields are those of the group before, as in a parser.
        group.group.pointee.slices = UnsafeMutableRawPointer(lanes.slices).assumingMemoryBound(to: lanes_slice.self)
        group.group.pointee.numbers = lanes.numbers
        let understood = plan.match(group.group, lines.count, into: lanes.fields, kernels)
        for (lane, line) in lines.prefix(understood + 1).enumerated() {
          let expected: [String]? = withSlice(line) { slice in
            let single = LaneFields()
            var effort = Backtracking.lineBudget
            let isTaken = lone.match(slice, into: single.fields[0], isFirst: true, effort: &effort) && !lone.isAmbiguous
            return isTaken ? single.values(0, lone.roles) : nil
          }
          #expect(
            (lane < understood ? lanes.values(lane, plan.roles) : nil) == expected,
            "\(String(decoding: line, as: UTF8.self))")
          if expected == nil { refused += 1 } else { taken += 1 }
        }
        rest = rest.dropFirst(understood + (understood < lines.count ? 1 : 0))
      }
      #expect(taken > 900 && refused > 5, "\(taken) \(refused)")
    }
  }

  @Test("keys are found where they stand as they are found when put together")
  func keys() {
    let runs = [lanes_run(first: 1, last: 2), lanes_run(first: 4, last: 4), lanes_run(first: 5, last: 5)]
    let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
    defer { scratch.deallocate() }
    for kernels in LineParser.kernels {
      var random = SplitMix(state: 17)
      let lanes = LaneFields(LineParser.group)
      let secrets = KeySecrets()
      var known = LaneDictionary(Interner(capacity: 16), UnsafePointer(lanes.slices), secrets)
      var hashes: [[UInt8]: UInt64] = [:]
      // Few lengths and letters, so that keys come again; lengths around what one step takes.
      let lengths = [0, 0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 200]
      for _ in 0..<600 {
        let texts = (0..<LineParser.group).map { _ in
          (0..<4).flatMap { _ in
            Array(
              repeating: UInt8.random(in: 0x61...0x62, using: &random), count: lengths.randomElement(using: &random)!)
              + [ASCII.bar]
          }
        }
        let group = Group(texts)
        for lane in texts.indices {
          var p = group.lines[lane].start
          for slot in [1, 2, 4, 5] {
            let bar = Scan.find(ASCII.bar, from: p, to: group.lines[lane].end)
            lanes.fields[lane].setSlice(Slice(p, bar), slot)
            p = bar + 1
          }
          known.tags[lane] = UInt64.random(in: 0...1, using: &random)
        }
        runs.withUnsafeBufferPointer { runs in
          known.hash(runs, texts.count, kernels)
          known.expect(texts.count)
          known.find(0..<texts.count, kernels)
          for lane in texts.indices {
            var key = KeyWriter(at: scratch, limit: scratch + 4096 - KeyWriter.slack, tag: known.tags[lane])
            key.add(runs, lanes.fields[lane])
            let (hash, bytes) = (known.hashes[lane], key.slice.bytes)
            let twin = known.interner.find(hash, key.slice)
            let id = known.ids[lane]
            // One that a line before it in the group has brought is only known to the twin.
            #expect(id == twin || id < 0)
            #expect(hashes[bytes] ?? hash == hash, "equal keys have equal hashes")
            hashes[bytes] = hash
            if twin < 0 {
              let new = known.add(hash, key.slice)
              #expect(Int(new) == hashes.count - 1)
            }
          }
        }
      }
      let count = known.interner.count
      #expect(count == hashes.count && count > 1000)
      #expect(Set(hashes.values).count == count, "no two of some thousand keys have one hash")
    }
  }
}
