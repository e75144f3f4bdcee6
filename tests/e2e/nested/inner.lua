-- Inside the outer guest: the smoke suite on a guest of its own, over vsock.
return {
  default_profile = "inner",
  profiles = {
    inner = {
      kernel = "/nested/guest/vmlinux",
      initrd = "/nested/guest/initrd.cpio",
      memory = "128M",
      transport = "vsock",
    },
  },
}
