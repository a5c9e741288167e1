import Glibc

/// Counts what one thread asks `malloc` for: the test program brings a `malloc` of its own, which counts and passes on.
enum Allocations {
  /// The thread that is being watched, or 0; and what it has asked for.
  nonisolated(unsafe) fileprivate static let state: UnsafeMutablePointer<UInt> = {
    let memory = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
    return memory.bindMemory(to: UInt.self, capacity: 2)
  }()

  static func count(during body: () -> Void) -> Int {
    allocationState = state
    state[1] = 0
    state[0] = UInt(pthread_self())
    body()
    state[0] = 0
    return Int(state[1])
  }
}

/// nil until the first count: before, `malloc` must not touch anything that is initialised on first use.
nonisolated(unsafe) private var allocationState: UnsafeMutablePointer<UInt>?

@_silgen_name("__libc_malloc")
private func libcMalloc(_ size: Int) -> UnsafeMutableRawPointer?

@_cdecl("malloc")
public func countingMalloc(_ size: Int) -> UnsafeMutableRawPointer? {
  if let state = allocationState, state[0] == UInt(pthread_self()) { state[1] &+= 1 }
  return libcMalloc(size)
}
