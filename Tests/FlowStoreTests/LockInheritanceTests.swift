import FlowStore
import Foundation
import Testing

@Suite("the lock and child processes")
struct LockInheritanceTests {
  @Test("a closed store is free at once, though a child process still holds a copy of its lock's descriptor")
  func copiedDescriptor() throws {
    let folder = try ScratchFolder()
    let store = try FlowStore(path: folder.path())
    // What a child has between fork and exec, on another thread of this process.
    var copies: [Int32] = []
    defer { for copy in copies { close(copy) } }
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
      let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + name)
      guard let descriptor = Int32(name), target == store.path + ".lock" else { continue }
      copies.append(dup(descriptor))
    }
    #expect(!copies.isEmpty)
    store.close()
    try FlowStore(path: folder.path()).close()
  }
}
