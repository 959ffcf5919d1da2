"""The coffee script of the course's laboratory, with its imports changed and nothing else."""

import numpy as np

import core as keras
from core import Dense, Sequential
from core.datasets import coffee as load_coffee_data

X, Y = load_coffee_data()
print(X.shape, Y.shape)

norm_l = keras.layers.Normalization(axis=-1)
norm_l.adapt(X)  # learns mean, variance
Xn = norm_l(X)

Xt = np.tile(Xn, (1000, 1))
Yt = np.tile(Y, (1000, 1))
print(Xt.shape, Yt.shape)

keras.utils.set_random_seed(1234)  # applied to achieve consistent results
model = Sequential(
    [
        keras.Input(shape=(2,)),
        Dense(3, activation="sigmoid", name="layer1"),
        Dense(1, activation="sigmoid", name="layer2"),
    ]
)

model.summary()

L1_num_params = 2 * 3 + 3  # W1 parameters  + b1 parameters
L2_num_params = 3 * 1 + 1  # W2 parameters  + b2 parameters
print("L1 params = ", L1_num_params, ", L2 params = ", L2_num_params)

W1, b1 = model.get_layer("layer1").get_weights()
W2, b2 = model.get_layer("layer2").get_weights()
print(f"W1{W1.shape}:\n", W1, f"\nb1{b1.shape}:", b1)
print(f"W2{W2.shape}:\n", W2, f"\nb2{b2.shape}:", b2)

model.compile(
    loss=keras.losses.BinaryCrossentropy(),
    optimizer=keras.optimizers.Adam(learning_rate=0.01),
)

model.fit(
    Xt,
    Yt,
    epochs=10,
)

W1, b1 = model.get_layer("layer1").get_weights()
W2, b2 = model.get_layer("layer2").get_weights()
print("W1:\n", W1, "\nb1:", b1)
print("W2:\n", W2, "\nb2:", b2)


def decide(model):
    X_test = np.array(
        [
            [200, 13.9],  # positive example
            [200, 17],  # negative example
        ]
    )
    X_testn = norm_l(X_test)
    predictions = model.predict(X_testn)
    print("predictions = \n", predictions)
    yhat = (predictions >= 0.5).astype(int)
    print(f"decisions = \n{yhat}")


decide(model)

# Set weights from a previous run: those that the course's page shows.
model.get_layer("layer1").set_weights(
    [np.array([[-0.13, 14.3, -11.1], [-8.92, 11.85, -0.25]]), np.array([-11.16, 1.76, -12.1])]
)
model.get_layer("layer2").set_weights([np.array([[-45.71], [-42.95], [-50.19]]), np.array([26.14])])
decide(model)
