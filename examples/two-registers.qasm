// Two classical registers, declared one after the other, and a qubit measured into each.
// Expect "10 001": the register declared last (b) stands left, bit 0 rightmost in each.
OPENQASM 2.0;
include "qelib1.inc";
qreg q[5];
creg a[3];
creg b[2];
x q[0];
x q[4];
measure q[0] -> a[0];
measure q[1] -> a[1];
measure q[2] -> a[2];
measure q[3] -> b[0];
measure q[4] -> b[1];
