// Bernstein-Vazirani: one query finds the hidden string s of f(x) = s.x mod 2.
// Expect the string itself, 1011001, in every shot.
OPENQASM 2.0;
include "qelib1.inc";
qreg q[7];
qreg target[1];
creg c[7];
x target;
h target;
h q;
barrier q, target;
cx q[0], target[0];
cx q[3], target[0];
cx q[4], target[0];
cx q[6], target[0];
barrier q, target;
h q;
measure q -> c;
