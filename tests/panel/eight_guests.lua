local vms = {}
test("two of eight disagree", { timeout = 300 }, function(t)
  local jobs = {}
  for i = 1, 8 do
    vms[i] = provium:vm("n" .. i)
    jobs[i] = function() vms[i]:boot({ memory = "96M" }) end
  end
  provium.all(unpack(jobs))
  t:assert_eq(vms[3]:run("false").exit_code, 0)
end)
