// Phase estimation with 4 counting qubits of the gate p(2 pi / 3), whose eigenvalue on |1> is
// exp(2 pi i / 3): a phase of 1/3, which 4 bits cannot hold.
// Expect 0101 (5/16 = 0.3125) most often, in 68 % of the shots, then 0110 (6/16) in 17 %.
OPENQASM 3.0;
include "stdgates.inc";
qubit[5] q;
bit[4] estimate;
x q[4];
h q[0];
h q[1];
h q[2];
h q[3];
cp(2*pi/3*1) q[0], q[4];
cp(2*pi/3*2) q[1], q[4];
cp(2*pi/3*4) q[2], q[4];
cp(2*pi/3*8) q[3], q[4];
// The inverse Fourier transform of the counting qubits.
swap q[0], q[3];
swap q[1], q[2];
h q[0];
cp(-pi/2) q[0], q[1];
h q[1];
cp(-pi/4) q[0], q[2];
cp(-pi/2) q[1], q[2];
h q[2];
cp(-pi/8) q[0], q[3];
cp(-pi/4) q[1], q[3];
cp(-pi/2) q[2], q[3];
h q[3];
estimate = measure q[0:3];
