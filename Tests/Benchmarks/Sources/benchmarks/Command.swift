internal import Foundation
internal import Glibc

/// One process, run to its end and measured from outside.
struct Command {
  var executable: String
  var arguments: [String]
  /// Exit codes beside 0 that are no failure.
  var accepted: Set<Int32> = []

  init(_ executable: String, _ arguments: String..., accepting accepted: Set<Int32> = []) {
    self.init(executable, arguments, accepting: accepted)
  }

  init(_ executable: String, _ arguments: [String], accepting accepted: Set<Int32> = []) {
    self.executable = executable
    self.arguments = arguments
    self.accepted = accepted
  }

  /// What one or several processes took.
  struct Cost: Codable {
    var wall = 0.0
    var cpu = 0.0
    /// Largest resident set of any of them, in MB (10^6 bytes). The kernel counts from the parent's own, some 15 MB.
    var peakMB = 0.0

    static func + (one: Cost, other: Cost) -> Cost {
      Cost(wall: one.wall + other.wall, cpu: one.cpu + other.cpu, peakMB: max(one.peakMB, other.peakMB))
    }
  }

  /// Runs it, with its output into `output` or nowhere.
  @discardableResult
  func run(output: String = "/dev/null") throws(BenchmarkError) -> Cost {
    let child = try start(output: output)
    return try child.wait()
  }

  /// Starts it without waiting.
  func start(output: String = "/dev/null") throws(BenchmarkError) -> Child {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    let path = executable.contains("/") ? executable : Command.found(executable) ?? executable
    var words = ([path] + arguments).map { strdup($0) }
    words.append(nil)
    defer { words.forEach { free($0) } }
    var process: pid_t = 0
    let began = Command.now
    let code = posix_spawn(&process, path, &actions, nil, words, environ)
    guard code == 0 else { throw BenchmarkError("\(path): cannot start: \(String(cString: strerror(code)))") }
    return Child(command: self, process: process, began: began)
  }

  struct Child {
    let command: Command
    let process: pid_t
    let began: Double

    func wait() throws(BenchmarkError) -> Cost {
      var status: Int32 = 0
      var usage = rusage()
      while wait4(process, &status, 0, &usage) < 0 && errno == EINTR {}
      let wall = Command.now - began
      let code = status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
      guard code == 0 || command.accepted.contains(code) else {
        throw BenchmarkError("\(command.description): ended with \(code)")
      }
      let cpu = [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) * 1e-6 }
      return Cost(wall: wall, cpu: cpu, peakMB: Double(usage.ru_maxrss) * 1024 / 1e6)
    }
  }

  var description: String { ([executable] + arguments).joined(separator: " ") }

  /// The path of a program on `PATH`; nil when it is not installed.
  static func found(_ name: String) -> String? {
    let folders = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
    return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
  }

  static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

/// Something without which no measuring is possible.
struct BenchmarkError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
