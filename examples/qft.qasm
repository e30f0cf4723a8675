// The inverse quantum Fourier transform of 5 qubits, applied to the Fourier state of 11:
// every basis state |x> has the amplitude exp(2 pi i 11 x / 32) / sqrt(32).
// Expect 01011 (binary 11) in every shot.
OPENQASM 2.0;
include "qelib1.inc";
qreg q[5];
creg c[5];
// The state, a product of one-qubit phases.
h q[0];
h q[1];
h q[2];
h q[3];
h q[4];
p(2*pi*11*1/32) q[0];
p(2*pi*11*2/32) q[1];
p(2*pi*11*4/32) q[2];
p(2*pi*11*8/32) q[3];
p(2*pi*11*16/32) q[4];
// The transform, inverted.
swap q[0], q[4];
swap q[1], q[3];
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
cp(-pi/16) q[0], q[4];
cp(-pi/8) q[1], q[4];
cp(-pi/4) q[2], q[4];
cp(-pi/2) q[3], q[4];
h q[4];
measure q -> c;
