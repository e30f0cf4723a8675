// The W state of 5 qubits: one excitation, shared equally. Each step passes the amplitude
// sqrt(1 - 1/k) on to the next qubit, with the angle 2 acos(sqrt(1/k)) for k = 5, 4, 3, 2.
// Expect 00001, 00010, 00100, 01000 and 10000, a fifth of the shots each.
OPENQASM 3.0;
include "stdgates.inc";
qubit[5] q;
bit[5] c;
x q[0];
cry(2.214297435588181) q[0], q[1];
cx q[1], q[0];
cry(2.0943951023931953) q[1], q[2];
cx q[2], q[1];
cry(1.9106332362490186) q[2], q[3];
cx q[3], q[2];
cry(1.5707963267948966) q[3], q[4];
cx q[4], q[3];
c = measure q;
