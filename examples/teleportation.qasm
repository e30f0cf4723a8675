// Teleports the state ry(1.2) rz(0.7)|0> from `message` to `bob`, with feed-forward: Bob's
// corrections depend on what was measured in the middle. At the end Bob undoes the preparation.
// Expect received = 0 in every shot, and the four pairs (m_z, m_x) a quarter each. Keys read
// "received m_z m_x", so 0 0 0, 0 0 1, 0 1 0 and 0 1 1.
OPENQASM 3.0;
include "stdgates.inc";
qubit message;
qubit alice;
qubit bob;
bit[1] m_x;
bit[1] m_z;
bit[1] received;
ry(1.2) message;
rz(0.7) message;
// The entangled pair.
h alice;
cx alice, bob;
// Alice's Bell measurement.
cx message, alice;
h message;
m_z[0] = measure message;
m_x[0] = measure alice;
// Bob's corrections.
if (m_x == 1) { x bob; }
if (m_z == 1) { z bob; }
rz(-0.7) bob;
ry(-1.2) bob;
received[0] = measure bob;
