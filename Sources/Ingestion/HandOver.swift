internal import Glibc

/// A small blocking queue between two threads; a full one makes the sender wait, which bounds the memory of a run.
///
/// `@unchecked Sendable`: `waiting` and `isClosed` are only touched between `lock` and `unlock`.
final class HandOver<Parcel: Sendable>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  private var waiting: [(parcel: Parcel, weight: Int)] = []
  /// Of all that wait.
  private var weight = 0
  private var isClosed = false
  private let capacity: Int

  init(capacity: Int) {
    precondition(capacity > 0)
    self.capacity = capacity
    mutex = .allocate(capacity: 1)
    changed = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Waits while the queue is full. False when the other side has closed it: the parcel was not taken.
  /// - Parameter weight: how many ordinary ones it stands for; an empty queue takes any.
  func send(_ parcel: Parcel, weight: Int = 1) -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while self.weight >= capacity && !isClosed { pthread_cond_wait(changed, mutex) }
    if isClosed { return false }
    waiting.append((parcel, weight))
    self.weight += weight
    pthread_cond_broadcast(changed)
    return true
  }

  /// Waits while the queue is empty; nil once it is closed and empty.
  func receive() -> Parcel? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while waiting.isEmpty && !isClosed { pthread_cond_wait(changed, mutex) }
    if waiting.isEmpty { return nil }
    let (parcel, weight) = waiting.removeFirst()
    self.weight -= weight
    pthread_cond_broadcast(changed)
    return parcel
  }

  /// No more parcels go in; those inside can still be received.
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }
}
