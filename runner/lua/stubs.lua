---@meta provium
-- What a test may call, typed: for editors (lua-language-server), for
-- docs/api.md, which is made from it, and for the test that holds both against
-- the methods that provium really has.

---A number of seconds, or a string such as "500ms", "1.5s", "2m", "1h".
---@alias Duration number|string
---Bytes, or a string such as "64K", "256M", "4G" (powers of 1024).
---@alias Size integer|string
---An integer of 64 bits: a number where that is exact, else int64_t or uint64_t.
---@alias Int64 integer|ffi.cdata*
---A signal's number or name, with or without SIG, in any case.
---@alias Signal integer|string

---@class Options of lab:vm and vm:boot
---@field memory? Size default 256M
---@field cpus? integer default 1
---@field kernel_cmdline? string in place of the profile's
---@field kernel_cmdline_append? string after it
---@field initial_time? integer seconds since 1970 that its clock starts with, at each boot; default the host's
---@field rng_seed? integer of the random numbers that QEMU gives it: /dev/hwrng (modprobe virtio_rng), the kernel's first seed, RDRAND under TCG; what Linux makes of them differs, as it mixes in the time
---@field spare_nics? integer NICs without a cable, for bridge:attach() while the guest runs; default 0
---@field suspend? boolean it may suspend to RAM: a slower boot, over virtio-serial, of a bzImage; default false
---@field panic? boolean its kernel may panic once it is booted: calls in flight fail, the VM and the test go on; default false
---@field disks? DiskOptions[] in this order behind those of the profile; up to 8 together
---@field files? {path: string, content: string, mode?: integer}[] there before init runs, or the boot fails; up to 65536
---@field agent_timeout? Duration how long the guest may take to answer; default 60
---@field qemu_args? string[] for QEMU, after all others

---@class DiskOptions
---Exactly one of path, template and scratch. An image is raw, or qcow2, which it
---must be where its name ends in .qcow2.
---@field id? string up to 20 letters, digits, '.', '_' and '-': the serial number that the guest sees; default "disk" and its position, from 0
---@field scratch? Size an empty disk, which goes with the VM
---@field template? string a host path: an image that stays as it is; what the guest writes goes with the VM
---@field path? string a host path: an image that the guest writes
---@field readonly? boolean the guest cannot write it; default false
---@field mediated? boolean provium serves the disk itself: for faults, power cuts and sectors from the host; a raw image, up to 1T; default false

---@class RunOptions
---@field args? string[] arguments: no shell then
---@field env? table<string, string> added to the environment
---@field env_clear? boolean begin with an empty environment
---@field cwd? string
---@field stdin? string
---@field timeout? Duration after which the process group is killed
---@field check? boolean raise unless it exits with 0

---@class SyscallOptions
---@field args? Int64[] up to six
---@field bufs? string[] buffers, given and given back
---@field ptrs? table<integer, integer> [position in bufs] = argument slot, from 0
---@field nested? {parent: integer, child: integer, offset: integer}[] addresses inside of buffers

---@class SyscallResult
---@field ret Int64 -1 on failure
---@field result Int64 the same
---@field errno integer 0 on success
---@field out_bufs string[] the buffers as the call left them
---@field out_data? string of ioctl: its data as the call left it

---A text, at [1], that fails the running test when a console line holds it.
---@class OnConsoleRule
---@field [1] string
---@field except? string|string[] texts: a line that holds one of them is excused

---The root lab, and settings of the file.
---@class Provium: Lab
---@field timeout? Duration of each test of the file
---@field on_console? (string|OnConsoleRule)[] texts: a console line that holds one fails the running test
---@field reset_between_tests? boolean each test but the first begins with what the file's chunk has made, restored
local Provium = {}

---Runs the functions as tasks, and returns the first result of each, in order.
---The first error cancels the others and is raised; its first line says of which
---task it is.
---@param ... fun(): any
---@return any ...
function Provium.all(...) end

---Runs the functions as tasks; returns the result of the first that ends, and
---cancels the others.
---@param ... fun(): any
---@return any
function Provium.race(...) end

---Machines, networks and labs by name; also as `lab.<name>`.
---@class Lab
local Lab = {}

---The VM of that name; where there is none, a new one: with the default
---profile, or as asked for.
---@param name string
---@param profile? string|Options
---@param options? Options
---@return VM
function Lab:vm(name, profile, options) end

---The network of that name, made where there is none.
---@param name string
---@param options? {ipv6?: boolean, dhcp?: boolean, network?: "user"|"kernel"} ipv6: guests also have addresses of IPv6; dhcp: false: the gateway ignores DHCP clients, and provium configures no NIC on this bridge (default true); network: "kernel" is a Linux bridge with TAPs, which needs rights (default: the config's, else "user")
---@return Bridge
function Lab:bridge(name, options) end

---A lab inside this one.
---@param name? string
---@return Lab
function Lab:lab(name) end

---@return string
function Lab:name() end

---@return string[]
function Lab:vm_names() end

---@return string[]
function Lab:bridge_names() end

---@return string[]
function Lab:sub_lab_names() end

---Has things of other labs in this one too, under their names. Who made them
---closes them; the membership ends with the scope in which it began.
---@param member VM|Bridge|Lab|(VM|Bridge|Lab)[]
---@return Lab
function Lab:include(member) end

---Takes it out of this lab, and leaves it as it is.
---@param member VM|Bridge|Lab|string or its name
---@return Lab
function Lab:remove(member) end

---Its VMs, bridges and labs, each sorted by name.
---@return (VM|Bridge|Lab)[]
function Lab:members() end

---Boots all its VMs at once, when there is room for all of them.
---@return Lab
function Lab:boot() end

---Reserves memory and vCPUs of the machine for this file, once: waits for them;
---what its VMs take comes out of it.
---@param what {memory?: Size, cpus?: integer}
function Lab:claim(what) end

---Shuts all its VMs down at once.
function Lab:shutdown() end

---Stops the CPUs of all its VMs.
function Lab:pause() end

---Lets them go on.
function Lab:resume() end

---Snapshots of all its VMs that run, which stand still together meanwhile, and
---of its bridges: attachments, links, impairments, seeds, routes.
---@param path? string a folder of the host, relative to the calling file, that stays; without, it goes with the scope
---@return LabSnapshot
function Lab:snapshot(path) end

---Its VMs and bridges are as they were, those that have gone are made again.
---A VM that was off then is; one that is no part of the snapshot stays as it is.
---@param snapshot LabSnapshot|string or its path
---@return Lab
function Lab:restore(snapshot) end

---A VM as a fixture has left it: NAME.fixture.lua below a root, which returns
---vm:snapshot(). It stands in the file's scope; asking again for the same name
---restores it again. What the cache has not is built first.
---@param fixture string
---@param name? string of the VM; by default the last part of the fixture's
---@return VM
function Lab:vm_fixture(fixture, name) end

---The same of a fixture that returns lab:snapshot(): a lab in this one.
---@param fixture string
---@param name? string of the lab
---@return Lab
function Lab:lab_fixture(fixture, name) end

---In a fixture: it is to be built anew when this file changes. Files that are
---required, pushed or opened by it are known without.
---@param path string of the host, relative to the calling file
function Lab:depends_on_file(path) end

---Where tasks meet: waits until count of them are here. The same name may be
---met at again.
---@param name string
---@param count integer
---@param timeout? Duration 60 s by default
---@return boolean met false when its time was over first
function Lab:barrier(name, count, timeout) end

---@param format string as string.pack of Lua 5.4
---@param ... any
---@return string
function Lab:pack(format, ...) end

---@param format string
---@param data string
---@param position? integer where it begins; negative counts from the end
---@return any ...
function Lab:unpack(format, data, position) end

---A machine at one instant, in a folder of the host.
---@class Snapshot
local Snapshot = {}

---@return string
function Snapshot:path() end

---@return Int64 bytes on the disk that it takes by itself
function Snapshot:size() end

---Removes the folder. Guests that were restored from it go on.
function Snapshot:delete() end

---A lab at one instant.
---@class LabSnapshot
local LabSnapshot = {}

---@return string
function LabSnapshot:path() end

---@return Int64 bytes on the disk that it takes by itself
function LabSnapshot:size() end

---Removes the folder.
function LabSnapshot:delete() end

---A virtual machine. Closed with the scope that made it.
---@class VM
local VM = {}

---Starts it; returns when the guest's agent has answered, and its networks are up.
---@param options? Options over those of lab:vm
---@return VM
function VM:boot(options) end

---What the machine is at this instant: RAM, devices, and what its agent holds:
---open files, processes, workers. Its CPUs stand still meanwhile. Raises while a
---stream of it, or a capture of one of its bridges, is open, and names it.
---@param path? string a folder of the host, relative to the calling file, that stays; without, it goes with the scope
---@return Snapshot
function VM:snapshot(path) end

---Puts a machine as it was under this VM, whatever state that is in; it runs
---when this returns. Files, processes and workers that the snapshot has can be
---used again, later ones are gone; streams end. Random numbers are seeded anew.
---@param snapshot Snapshot|string or its path
---@param options? {clock?: "continue"|"now", agent_timeout?: Duration} the guest's clock goes on from then, or is set to the host's time
---@return VM
function VM:restore(snapshot, options) end

---Powers the guest off, by force where it does not obey.
function VM:shutdown() end

---Stops its CPUs.
function VM:pause() end

---Lets them go on.
---@param options? {clock?: "continue"|"now"} the guest's clock goes on from the pause, or is set to the host's time; default "continue"
function VM:resume(options) end

---A hard reset; returns when the agent has answered again. What was open in
---the guest is gone.
function VM:reset() end

---How many files are open on it, through workers too.
---@return integer
function VM:open_file_count() end

---How many streams are open on it, through workers too, and captures of its
---bridges.
---@return integer
function VM:open_stream_count() end

---Whether nothing hangs on the guest: no open file, stream or worker, and no call
---that another task waits for.
---@return boolean
function VM:is_quiescent() end

---The kernel's log, as dmesg(1) prints it: what is in the kernel's buffer now.
---@return string
function VM:dmesg() end

---Presses the power button. What follows is the guest's: the default guest powers
---off.
function VM:power_button() end

---Ends its suspend to RAM, or waits for it and ends it then. Only for VMs that
---may suspend: option suspend.
function VM:wakeup() end

---Ends it at once, and all that hangs on it.
function VM:close() end

---@return string
function VM:name() end

---@return string
function VM:profile() end

---@return "created"|"booting"|"booted"|"paused"|"suspended"|"shutdown"|"dead"
function VM:state() end

---Its vsock CID; nil where the agent is reached over virtio-serial.
---@return integer?
function VM:cid() end

---QEMU's process id; nil when it is off.
---@return integer?
function VM:pid() end

---Runs a command to its end. A string alone goes through the guest's shell; a
---list, or `args`, is executed as it is. The default guest's shell prefers the
---commands of busybox to those of PATH.
---@param command string|string[]
---@param options? RunOptions|string[]
---@return RunResult
function VM:run(command, options) end

---Starts a command, in the same forms, without `timeout` and `check`. A stream of
---its output that is opened within a second has every byte; see stdout_stream.
---@param command string|string[]
---@param options? RunOptions|string[]
---@return Process
function VM:run_async(command, options) end

---@param path string
---@return string
function VM:read_file(path) end

---Creates the file, or replaces its content.
---@param path string
---@param data string
---@param options? {mode?: integer}
function VM:write_file(path, data, options) end

---Carries connections to a port of the host to a TCP port of the guest's
---loopback; the guest needs no network for that. The same port of the guest
---gives the same one of the host, for as long as the VM lives.
---@param port integer
---@return string "127.0.0.1:port"
function VM:forward(port) end

---Copies a file of the host into the guest, with its mode: set-id and sticky bits
---too. Holes stay holes. A file that the kernel makes as it is read (in /proc,
---/sys) arrives whole; it may have up to 64 MiB.
---
---A directory is copied with everything below it: files, empty directories and
---symbolic links, as links, with their modes. guest_path becomes the copy. It
---must not exist, or be an empty directory that is no mount point. It is there
---when it is complete; a copy that fails leaves nothing. Owners, times and
---extended attributes are not copied, and hard links become files of their own.
---A FIFO, a socket or a device is an error. So are more than 262,144 entries, and
---directories that are more than 128 deep. mode is for a file only.
---@param host_path string relative to the calling file
---@param guest_path string
---@param options? {mode?: integer}
function VM:push_file(host_path, guest_path, options) end

---Copies a file of the guest to the host. A new file gets the mode of the
---guest's, set-id and sticky bits too; one that exists keeps its own. Holes stay
---holes. A directory is copied with everything below it, as push_file does; what
---vanishes meanwhile is left out.
---@param guest_path string
---@param host_path string relative to the calling file
function VM:pull_file(guest_path, host_path) end

---@param path string a symbolic link is told as one
---@return {size: integer, mtime: integer, mtime_ns: Int64, perm: integer, uid: integer, gid: integer, nlink: integer, entry_type: "file"|"directory"|"symlink"|"fifo"|"socket"|"block_device"|"char_device"|"other"}
function VM:stat(path) end

---@param path string
---@return string[] sorted, without . and ..
function VM:listdir(path) end

---@param path string
---@param options? {parents?: boolean, perm?: integer}
function VM:mkdir(path, options) end

---Removes a file, or an empty directory.
---@param path string
function VM:unlink(path) end

---@param from string
---@param to string
function VM:rename(from, to) end

---@param path string
---@param options {read?: boolean, write?: boolean, append?: boolean, create?: boolean, truncate?: boolean, exclusive?: boolean, perm?: integer}
---@return File
function VM:open_file(path, options) end

---Follows a file. The position is fixed before the call returns.
---@param path string
---@param options? {start?: "end"|"beginning"|"start"|number} a number is an offset; a negative one counts from the end
---@return Stream
function VM:tail_file(path, options) end

---Streams what can be read from a descriptor of the agent, to its end.
---@param fd integer|File
---@return Stream
function VM:fd_stream(fd) end

---A raw system call, on the agent's main thread.
---@param nr integer
---@param ... Int64|SyscallOptions up to six arguments, or one table
---@return SyscallResult
function VM:syscall(nr, ...) end

---The same on a thread of its own: other calls go on meanwhile.
---@param nr integer
---@param ... Int64|SyscallOptions
---@return Call
function VM:syscall_async(nr, ...) end

---@param fd integer|File
---@param cmd integer
---@param data? string|Int64 a buffer, given back as out_data, or a number
---@param options? {bufs?: string[], ptr_offsets?: table<integer, integer>} addresses of bufs go into data at these offsets
---@return SyscallResult
function VM:ioctl(fd, cmd, data, options) end

---Bytes of the agent's memory; nil and errno where they cannot be read.
---@param address Int64
---@param n integer
---@return string?, integer?
function VM:read_mem(address, n) end

---Makes the calls of `b` together, in one round trip; a failure does not stop
---the others.
---@param fn fun(b: VM)
---@return {ok?: any, err?: string}[] in the order of the calls
function VM:batch(fn) end

---A process of one thread in the guest, on which all its calls run.
---@return Worker
function VM:spawn_worker() end

---@return Console
function VM:console() end

---A unix socket, served by provium from the boot on: who connects reads what the
---console prints from then on, and types on it.
---@return string
function VM:console_socket_path() end

---@return Clock
function VM:clock() end

---Its NIC on the bridge of that name.
---@param bridge string
---@return Nic
function VM:nic(bridge) end

---Its disk of that id; from the first boot on.
---@param id string
---@return Disk
function VM:disk(id) end

---One more disk, behind those of the options, before the first boot: empty with a
---size, else over a raw image that stays as it is. It is mediated.
---@param options {id: string, size?: Size, image?: string, readonly?: boolean}
---@return Disk
function VM:attach_disk(options) end

---A process in the guest, of one thread: credentials, namespaces, signal masks,
---the working directory and files carry from call to call.
---@class Worker
local Worker = {}

---@param command string|string[]
---@param options? RunOptions|string[]
---@return RunResult
function Worker:run(command, options) end

---@param command string|string[]
---@param options? RunOptions|string[]
---@return Process
function Worker:run_async(command, options) end

---@param path string relative to its working directory
---@return string
function Worker:read_file(path) end

---@param path string
---@param data string
---@param options? {mode?: integer}
function Worker:write_file(path, data, options) end

---@param path string
---@param options {read?: boolean, write?: boolean, append?: boolean, create?: boolean, truncate?: boolean, exclusive?: boolean, perm?: integer}
---@return File
function Worker:open_file(path, options) end

---@param nr integer
---@param ... Int64|SyscallOptions
---@return SyscallResult
function Worker:syscall(nr, ...) end

---Does not wait for the answer; calls of a worker run one after the other.
---@param nr integer
---@param ... Int64|SyscallOptions
---@return Call
function Worker:syscall_async(nr, ...) end

---@param fd integer|File
---@param cmd integer
---@param data? string|Int64
---@param options? {bufs?: string[], ptr_offsets?: table<integer, integer>}
---@return SyscallResult
function Worker:ioctl(fd, cmd, data, options) end

---@param address Int64
---@param n integer
---@return string?, integer?
function Worker:read_mem(address, n) end

---Does nothing if the worker has ended.
---@param signal? Signal default SIGKILL
function Worker:kill(signal) end

---Ends the system call that it blocks in, with EINTR.
function Worker:interrupt() end

---Has it exit when it has done what it was asked, and waits for that.
---@param timeout? Duration
---@return RunResult
function Worker:join(timeout) end

---@return integer
function Worker:pid() end

---@return Int64
function Worker:handle() end

function Worker:close() end

---A system call that goes on by itself; closing it interrupts it.
---@class Call
local Call = {}

---A time-out raises, and leaves the call going on.
---@param timeout? Duration
---@return SyscallResult
function Call:await(timeout) end

function Call:close() end

---@class Process
local Process = {}

---A time-out raises, and leaves the process running.
---@param timeout? Duration
---@return RunResult
function Process:wait(timeout) end

---Signals its whole process group. Does nothing if the process has ended.
---@param signal? Signal default SIGTERM
function Process:kill(signal) end

---Signals the process alone. Raises if it has ended.
---@param signal Signal
function Process:signal(signal) end

---@return "running"|"exited"
function Process:status() end

---@return integer
function Process:pid() end

---@return Int64
function Process:handle() end

---@param data string
function Process:stdin_write(data) end

function Process:close_stdin() end

---What the process writes to stdout, from the first byte. Raises if the guest has
---dropped bytes: it keeps 8 MiB of an output that nobody reads, but drops nothing
---in the first second, in which the process waits instead. With `kept` the
---stream begins with the oldest byte that is kept; the second result is the number
---of bytes dropped before it.
---@param options? {kept?: boolean}
---@return Stream, integer?
function Process:stdout_stream(options) end

---The same for stderr.
---@param options? {kept?: boolean}
---@return Stream, integer?
function Process:stderr_stream(options) end

---Kills it, if it still runs, and forgets it.
function Process:close() end

---@class RunResult
---@field exit_code integer -1 signalled, -2 timed out
---@field stdout string
---@field stderr string
---@field status "exited"|"signalled"|"timed_out"
---@field signal? integer
---@field timed_out boolean
---@field truncated boolean of process:wait() only: the beginning of an output is missing, for the guest keeps the newest 8 MiB of each output, or less if all outputs together exceed a quarter of its memory
---@field duration number seconds
local RunResult = {}

---Whether it exited with 0.
---@return boolean
function RunResult:ok() end

---Raises unless it did, with the command and both outputs.
---@return RunResult
function RunResult:assert_ok() end

---An open file of the guest.
---@class File
local File = {}

---@param n integer
---@return string "" at the end
function File:read(n) end

---@return string
function File:read_all() end

---@param data string
---@return integer bytes written
function File:write(data) end

---@param offset Int64
---@param whence? "set"|"cur"|"end"
---@return integer the new position
function File:seek(offset, whence) end

---@return integer
function File:tell() end

---@return integer its descriptor in the agent
function File:fd() end

---@param options? {start?: "end"|"beginning"|"start"|number}
---@return Stream
function File:tail_stream(options) end

function File:close() end

---Bytes as they come: a Tail, a Capture or a ConsoleStream.
---@class Stream
local Stream = {}

---The next frame; nil at the end, at the time-out and after close.
---@param timeout? Duration default 10
---@return string?
function Stream:next(timeout) end

---Everything up to and including a pattern, which is bytes. Of several the
---earliest match wins; its index is the second result.
---@param pattern string|string[]
---@param timeout? Duration default 10
---@return string, integer?
function Stream:read_until(pattern, timeout) end

---The same, and drops what it read; of several patterns it returns the index.
---@param pattern string|string[]
---@param timeout? Duration default 10
---@return integer?
function Stream:expect(pattern, timeout) end

---Every frame that arrives until the deadline, pending bytes first; 0 takes
---what is there.
---@param timeout? Duration default 0.5
---@return string[]
function Stream:drain(timeout) end

---Iterates lines, without their ends.
---@param timeout? Duration for each line; default 10
---@return fun(): string?
function Stream:lines(timeout) end

---The next line, without its end.
---@param timeout? Duration default 10
---@return string?
function Stream:next_line(timeout) end

---Writes everything to a file of the host from now on, by itself.
---@param host_path string relative to the calling file
---@param timeout? Duration how long to wait for the end; default 0
---@return integer, boolean # bytes written so far; whether that is all
function Stream:write_to(host_path, timeout) end

---Iterates the packets of a capture.
---@param timeout? Duration for each packet; default 10
---@return fun(): Packet?
function Stream:packets(timeout) end

---The next packet of a capture.
---@param timeout? Duration default 10
---@return Packet?
function Stream:next_packet(timeout) end

---True when the source has ended and nothing is pending.
---@return boolean
function Stream:eof() end

---How many have arrived.
---@return Int64
function Stream:bytes() end

---@return string "tail_file", "proc_stdout_stream", "console_stream", "bridge_capture", ...
function Stream:kind() end

---@return string what it is a stream of
function Stream:detail() end

---Where a test opened it.
---@return {file: string, line: integer}?
function Stream:creation_site() end

---Drops what is pending.
function Stream:close() end

---@class Packet
---@field time number seconds since 1970
---@field len integer bytes on the wire
---@field data string bytes that were captured

---@class Console
local Console = {}

---Begins at the first byte that no earlier one has read.
---@return Stream
function Console:read() end

---Everything since power-on.
---@return string
function Console:read_log() end

---Waits for bytes since the last boot or reset; takes none.
---@param text string
---@param timeout? Duration default 30
---@return string
function Console:expect(text, timeout) end

---@param data string
---@param options? {timeout?: Duration}
function Console:write(data, options) end

function Console:close() end

---The guest's CLOCK_REALTIME.
---@class Clock
local Clock = {}

---@return number seconds since 1970
function Clock:get() end

---@return Int64
function Clock:get_ns() end

---@param seconds number
function Clock:set(seconds) end

---@param ns Int64
function Clock:set_ns(ns) end

---Waits in the guest's time.
---@param duration Duration
function Clock:sleep(duration) end

---Moves it, forward or back ("-2s"), at one instant.
---@param duration number|string seconds, or a text like "-2s"
function Clock:advance(duration) end

---A disk of a VM. What reads, writes, or fails it is for one that is mediated.
---@class Disk
local Disk = {}

---@return string
function Disk:id() end

---@return Int64 bytes
function Disk:size() end

---What the guest would read now, whether it is flushed or not. (Its page cache
---may hold newer.)
---@param off integer the first, of sectors of 512 bytes
---@param n integer how many, up to 131072
---@return string
function Disk:read_sectors(off, n) end

---At one instant, and flushed. (The guest's page cache does not hear of it.)
---@param off integer the first, of sectors of 512 bytes
---@param data string whole sectors
function Disk:write_sectors(off, data) end

---What the guest asks from now on fails, or takes longer; modes add up.
---@param mode "eio_read"|"eio_write"|"slow"
---@param options? {delay?: Duration} of "slow", for each request; default 0.1
function Disk:fault_inject(mode, options) end

function Disk:clear_faults() end

---@return string[] modes
function Disk:active_faults() end

---All disks of the VM that are mediated lose, at one instant, exactly what the
---guest has not flushed; then the VM is reset.
function Disk:power_cut() end

function Disk:close() end

---A network of guests, which gives addresses and names.
---@class Bridge
local Bridge = {}

---Gives each VM a NIC on it, from its next boot on. A guest that runs has the
---cable put into a NIC without one (option spare_nics, or one that was detached)
---and sees the link come up; the default guest then gets an address.
---@param vms VM|VM[]
---@return Bridge
function Bridge:attach(vms) end

---Takes its NIC away again. While its guest runs, that keeps the NIC, and sees
---the link go down.
---@param vm VM
function Bridge:detach(vm) end

---The names of its VMs, in the order of attach.
---@return string[]
function Bridge:members() end

---@return string
function Bridge:name() end

---What a VM has on it.
---@param vm VM
---@return Nic
function Bridge:nic(vm) end

---Its packets, as a pcap file.
---@param options? {filter?: string, snaplen?: integer} a filter in pcap's syntax
---@return Stream
function Bridge:capture(options) end

---Lets the guests of the two reach each other through their gateways, by address
---and by name, both ways; for as long as both live.
---@param other Bridge
---@return Bridge
function Bridge:route(other) end

---Lets its guests reach whatever the host reaches, by address and by the names
---of the host's name server: TCP, UDP and, where the host permits it, pings over
---IPv4, without root. The host itself is called `host`. Nobody outside can begin
---a connection to a guest. May be called again.
---@return Bridge
function Bridge:enable_uplink() end

---Ends that, and every connection that goes through it. May be called again.
---@return Bridge
function Bridge:disable_uplink() end

---The names of the bridges that it has a route to.
---@return string[]
function Bridge:routes() end

---Delays frames on the whole bridge; or, with a table, those from one VM, or to
---one, or both. The delays of all that a frame is under add up. 0 takes one
---back, as with all that follow.
---@param ms number|{from?: VM, to?: VM, ms: number, jitter?: number} milliseconds; with jitter, plus or minus so much
---@return Bridge
function Bridge:add_latency(ms) end

---@param options {from: VM, to: VM, ms: number, jitter?: number}
---@return Bridge
function Bridge:add_directional_latency(options) end

---Loses so many frames of a hundred.
---@param percent number|{from?: VM, to?: VM, p: number}
---@return Bridge
function Bridge:drop_rate(percent) end

---@param options {from: VM, to: VM, p: number} p in percent
---@return Bridge
function Bridge:directional_drop_rate(options) end

---Delivers so many frames of a hundred twice.
---@param percent number|{from?: VM, to?: VM, p: number}
---@return Bridge
function Bridge:duplicate_rate(percent) end

---Lets so many frames of a hundred be overtaken by the next one.
---@param percent number|{from?: VM, to?: VM, p: number}
---@return Bridge
function Bridge:reorder_rate(percent) end

---Flips one bit, behind the Ethernet header, in so many frames of a hundred.
---@param percent number|{from?: VM, to?: VM, p: number}
---@return Bridge
function Bridge:corrupt_rate(percent) end

---A pipe that everything it is for shares, with a queue of 100 ms.
---@param bps number|{from?: VM, to?: VM, bps: number} bits a second, of whole frames
---@return Bridge
function Bridge:bandwidth_limit(bps) end

---Lets nothing pass between two VMs; with a table, only from one to the other.
---@param a VM|{from: VM, to: VM}
---@param b? VM
---@return Bridge
function Bridge:partition(a, b) end

---@param a VM|{from: VM, to: VM}
---@param b? VM
---@return Bridge
function Bridge:unpartition(a, b) end

---Whether a partition is between them, in either direction; with a table, in
---that one.
---@param a VM|{from: VM, to: VM}
---@param b? VM
---@return boolean
function Bridge:is_partitioned(a, b) end

---Parts every two of its VMs.
---@return Bridge
function Bridge:partition_all() end

---Takes all partitions and isolations back.
---@return Bridge
function Bridge:restore_all() end

---Lets nothing pass between a VM and the others.
---@param vm VM
---@return Bridge
function Bridge:isolate(vm) end

---@param vm VM
---@return Bridge
function Bridge:unisolate(vm) end

---@param vm VM
---@return boolean
function Bridge:is_isolated(vm) end

---What chance decides from now on repeats that of any other run with the seed.
---Not on a bridge with network "kernel".
---@param n Int64
---@return Bridge
function Bridge:seed(n) end

---The network is perfect again.
---@return Bridge
function Bridge:reset() end

---What add_latency was told, for the whole bridge or a direction.
---@param direction? {from?: VM, to?: VM}
---@return number
function Bridge:latency_ms(direction) end

---@param direction? {from?: VM, to?: VM}
---@return number
function Bridge:drop_rate_pct(direction) end

---@param direction? {from?: VM, to?: VM}
---@return number 0 where there is no limit
function Bridge:bandwidth_bps(direction) end

---Its guests hear nothing on their NICs from now on; their next boot is
---without these.
function Bridge:close() end

---A guest's place on a bridge.
---@class Nic
local Nic = {}

---@return string
function Nic:vm_name() end

---@return string its name
function Nic:bridge() end

---@return string "52:54:00:..."
function Nic:mac() end

---@return string the IPv4 address that the bridge gives it
function Nic:ip() end

---@return string? the IPv6 address of its guest; nil before it has one, and where the bridge is without
function Nic:ip6() end

---As the guest sees them.
---@return {rx_bytes: Int64, tx_bytes: Int64, rx_packets: Int64, tx_packets: Int64, errors: Int64}
function Nic:counters() end

---What its guest sends and what is sent to it, as a pcap file.
---@param options? {filter?: string, snaplen?: integer}
---@return Stream
function Nic:capture(options) end

---Takes the link down, as a cable that comes loose: the guest sees it, keeps its
---addresses, and no frame passes either way. Also for the boots to come.
---@return Nic
function Nic:disconnect() end

---Brings the link up again.
---@return Nic
function Nic:reconnect() end

---Forgets this object; the VM stays on the bridge.
function Nic:close() end

---What a test's function gets.
---@class Context
---@field name string
---@field meta table
local Context = {}

---Returns what it was given, as Lua's assert() does.
---@param condition any
---@param message? any
---@param ... any
---@return any ...
function Context:assert(condition, message, ...) end

---Compares tables by value, and numbers exactly: 5LL is 5, and not 5.5. Of tables that differ, it lists where.
---@param a any
---@param b any
---@param message? any
function Context:assert_eq(a, b, message) end

---@param a any
---@param b any
---@param message? any
function Context:assert_neq(a, b, message) end

---@param text string
---@param part string
---@param message? any
function Context:assert_contains(text, part, message) end

---@param text string
---@param pattern string of Lua
---@param message? any
function Context:assert_match(text, pattern, message) end

---@param fn function
---@param message? any
---@return any err
function Context:assert_raises(fn, message) end

---@param message? any
function Context:fail(message) end

---@param reason? any
function Context:skip(reason) end

---Several values make one line, with tabs between, as for print.
---A string is logged as it is. Any other value is shown up to about 4,000 bytes or 200 values, each table once.
---@param ... any
function Context:log(...) end

---Keeps bytes as an artifact.
---@param name string
---@param bytes string
function Context:attach(name, bytes) end

---A directory of the host that goes with the scope.
---@return string
function Context:tmpdir() end

---Registers a test.
---@param name string
---@param meta {tags?: string|string[], slow?: boolean, skip?: boolean|string, timeout?: Duration, retries?: integer, serial?: boolean, [string]: any}
---@param fn fun(t: Context)
---@overload fun(name: string, fn: fun(t: Context))
function test(name, meta, fn) end

---Skips every test of the file.
---@param reason? string
function todo(reason) end

---Calls fn until it returns something true, and returns that.
---@param fn fun(): any
---@param options? {timeout?: Duration, interval?: Duration, desc?: string}
---@return any
function wait_until(fn, options) end

---@class json
json = {}

---@param value any
---@return string
function json.encode(value) end

---Of a key that an object has twice, the last value counts. An integer that no integer type holds is a float.
---@param text string
---@return any
function json.decode(text) end

---@type Provium
provium = Provium

return {
  provium = Provium, lab = Lab, vm = VM, worker = Worker, call = Call,
  process = Process, result = RunResult, file = File, stream = Stream,
  console = Console, clock = Clock, disk = Disk, bridge = Bridge,
  nic = Nic, context = Context, snapshot = Snapshot,
  lab_snapshot = LabSnapshot,
}
